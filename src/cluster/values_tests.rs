use super::*;
use crate::cluster::samples::spec;
use crate::settings::spec::ImageMapping;

fn pods(namespace: Option<&str>, labels: &[(&str, &str)]) -> Client {
    Client::Pods {
        namespace: namespace.map(str::to_owned),
        pod_labels: labels
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect(),
    }
}

#[test]
fn names_follow_the_charts_rule() {
    for (release, expected) in [
        ("postgresql", "postgresql"),
        ("my-postgresql", "my-postgresql"),
        ("postgresql-ha", "postgresql-ha"),
        ("db", "db-postgresql"),
        ("db.prod", "db-prod-postgresql"),
        ("db-.prod", "db-prod-postgresql"),
        ("db.-prod", "db-prod-postgresql"),
        ("a..b", "a-b-postgresql"),
        (
            "a123456789012345678901234567890123456789012345678901-",
            "a123456789012345678901234567890123456789012345678901--postgresq",
        ),
    ] {
        assert_eq!(fullname(release), expected, "{release}");
        assert!(fullname(release).len() <= 63);
    }
    assert_eq!(secret_name("db"), "db-credentials");
    assert_eq!(pvc_name("db"), "data-db-postgresql-0");
    assert_eq!(pod_name("db"), "db-postgresql-0");
    assert_eq!(statefulset_name("db"), "db-postgresql");
}

#[test]
fn nobody_is_nobody() {
    let policy = network_policy(&spec());
    assert_eq!(policy["spec"]["ingress"], json!([]));
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
}

#[test]
fn clients_get_to_their_port_only() {
    let mut s = spec();
    s.allowed_clients = vec![
        pods(Some("apps"), &[("app", "api")]),
        pods(Some("tools"), &[]),
        pods(None, &[("role", "job")]),
        pods(None, &[]),
        Client::Cidr {
            cidr: "10.8.0.0/24".into(),
        },
        pods(None, &[]),
    ];
    s.metrics_clients = vec![pods(Some("monitoring"), &[])];
    insta::assert_json_snapshot!(network_policy(&s)["spec"], @r#"
    {
      "podSelector": {
        "matchLabels": {
          "app.kubernetes.io/instance": "postgresql",
          "app.kubernetes.io/name": "postgresql",
          "app.kubernetes.io/component": "primary"
        }
      },
      "policyTypes": [
        "Ingress"
      ],
      "ingress": [
        {
          "ports": [
            {
              "port": 5432,
              "protocol": "TCP"
            }
          ],
          "from": [
            {
              "ipBlock": {
                "cidr": "10.8.0.0/24"
              }
            },
            {
              "namespaceSelector": {
                "matchLabels": {
                  "kubernetes.io/metadata.name": "apps"
                }
              },
              "podSelector": {
                "matchLabels": {
                  "app": "api"
                }
              }
            },
            {
              "namespaceSelector": {
                "matchLabels": {
                  "kubernetes.io/metadata.name": "tools"
                }
              }
            },
            {
              "podSelector": {
                "matchLabels": {
                  "role": "job"
                }
              }
            },
            {
              "podSelector": {}
            }
          ]
        },
        {
          "ports": [
            {
              "port": 9187,
              "protocol": "TCP"
            }
          ],
          "from": [
            {
              "namespaceSelector": {
                "matchLabels": {
                  "kubernetes.io/metadata.name": "monitoring"
                }
              }
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn the_owned_values() {
    let mut v = computed(&spec(), &[]);
    v["extraDeploy"] = json!(v["extraDeploy"].as_array().unwrap().len());
    insta::assert_snapshot!(v.to_string(), @r#"{"global":{"storageClass":"","postgresql":{"fullnameOverride":"","auth":{"postgresPassword":"","username":"","password":"","database":"","existingSecret":"","secretKeys":{"adminPasswordKey":"","userPasswordKey":""}}}},"nameOverride":"postgresql","fullnameOverride":"postgresql","namespaceOverride":"","architecture":"standalone","auth":{"enablePostgresUser":true,"postgresPassword":"","username":"app","password":"","database":"app","existingSecret":"postgresql-credentials","secretKeys":{"adminPasswordKey":"postgres-password","userPasswordKey":"password"}},"containerPorts":{"postgresql":5432},"primary":{"hostNetwork":false,"networkPolicy":{"enabled":false},"persistence":{"enabled":true,"volumeName":"data","existingClaim":"","storageClass":"local-path","size":"8Gi"},"persistentVolumeClaimRetentionPolicy":{"enabled":false}},"metrics":{"enabled":false,"containerPorts":{"metrics":9187}},"extraDeploy":1}"#);
}

#[test]
fn a_mapped_image_unlocks_the_chart() {
    let mut s = spec();
    s.image = Some(ImageMapping {
        registry: None,
        repository: Some("bitnamilegacy/postgresql".into()),
        tag: Some("17.6.0-debian-12-r4".into()),
        digest: None,
    });
    let v = computed(&s, &[]);
    assert_eq!(
        v["image"],
        json!({"repository": "bitnamilegacy/postgresql", "tag": "17.6.0-debian-12-r4", "digest": ""})
    );
    assert_eq!(v["global"]["security"]["allowInsecureImages"], json!(true));
    let without = computed(&spec(), &[]);
    assert_eq!(without.get("image"), None);
    assert_eq!(without["global"].get("security"), None);
}

#[test]
fn the_order_of_the_inventory_is_no_change() {
    let a = pods(Some("apps"), &[("app", "api")]);
    let b = pods(Some("jobs"), &[]);
    let with = |clients: Vec<Client>| {
        let mut s = spec();
        s.allowed_clients = clients;
        computed(&s, &[]).to_string()
    };
    assert_eq!(with(vec![a.clone(), b.clone()]), with(vec![b, a]));
}

#[test]
fn the_users_objects_stay_and_ours_is_the_last() {
    let mine = json!({"kind": "ConfigMap", "data": {"x": "{{ .Release.Name }}"}});
    let v = computed(&spec(), std::slice::from_ref(&mine));
    assert_eq!(v["extraDeploy"][0], mine);
    assert_eq!(v["extraDeploy"][1]["metadata"]["name"], "postgresql-monopg");
}

#[test]
fn braces_do_not_reach_the_template_engine() {
    let mut s = spec();
    s.allowed_clients = vec![pods(Some("{{ .Release.Name }}"), &[])];
    let v = computed(&s, &[]);
    assert_eq!(
        v["extraDeploy"][0]["spec"]["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
        json!(r#"{{ "{{" }} .Release.Name }}"#)
    );
}
