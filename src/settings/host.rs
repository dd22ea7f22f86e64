//! One host's variables become its [`Spec`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check::{self, Bad, Checked, bad, not, shown, text};
use super::connection;
use super::objects;
use super::options::Options;
use super::owned;
use super::problem::SettingProblem;
use super::reader::Reader;
use super::source::{self, Paths};
use super::spec::{Arch, Bytes, ChartPin, HelmPin, ImageMapping, Sha256Hex, Spec};
use super::table::{SETTINGS, nearest};
use super::values::{self, Merged};
use crate::inventory::Place;
use crate::secrets::Secret;
use crate::yaml::Node;

/// The longest name of a release that Helm takes.
const RELEASE: usize = 53;
/// The longest name of a StatefulSet whose pods can be made: `controller-revision-hash` is a label of 63
/// characters and has eleven more than the name.
const STATEFUL_SET: usize = 52;

/// What is wrong with the name of a variable that looks like a setting and is none.
pub(super) fn unknown_variable(name: &str, place: &Place) -> Option<SettingProblem> {
    if !name.starts_with("monopg_") || super::table::find(name).is_some() {
        return None;
    }
    let hint = match nearest(name, SETTINGS.iter().map(|s| s.name)) {
        Some(near) => format!("did you mean {near}?"),
        None => "variables of your own must not begin with `monopg_`".to_owned(),
    };
    Some(
        SettingProblem::new("settings.unknown", "is not a setting of monopg")
            .at(place.clone())
            .of(name)
            .hint(hint),
    )
}

/// Notes `monopg_*` variables that do not exist.
pub(super) fn unknown(reader: &mut Reader<'_>) {
    let problems: Vec<_> = reader
        .vars
        .iter()
        .filter_map(|(name, var)| unknown_variable(name, &var.place))
        .collect();
    reader.problems.extend(problems);
}

/// Notes required variables without a value.
fn missing(reader: &mut Reader<'_>) {
    for setting in SETTINGS.iter().filter(|s| s.required) {
        if reader.var(setting.name).is_some() {
            continue;
        }
        let mut problem = SettingProblem::new("settings.missing", "is required and has no value")
            .of(setting.name)
            .hint(format!("for example {}: {}", setting.name, setting.example));
        problem.place = reader.vars.get(setting.name).map(|var| var.place.clone());
        reader.problems.push(problem);
    }
}

/// The specification; `None` if something that it needs is missing or wrong. Everything that is wrong
/// is noted in the reader.
pub(super) fn read(
    reader: &mut Reader<'_>,
    options: &Options,
    inventory_dir: &Path,
) -> Option<Spec> {
    unknown(reader);
    missing(reader);
    let home = options.home();
    let base = base_dir(reader, home.as_deref(), inventory_dir);
    let paths = Paths {
        base: &base,
        home: home.as_deref(),
    };
    let chart = chart(reader, &paths);
    let helm = helm(reader, &paths);
    let release = with_default(reader, "monopg_release", "postgresql", release);
    let namespace = with_default(reader, "monopg_namespace", "postgresql", |n| {
        check::label(n, 63)
    });
    let storage_path = reader.take("monopg_storage_path", source::storage_path);
    let storage_class = with_default(
        reader,
        "monopg_storage_class",
        "local-path",
        check::subdomain,
    );
    let volume_size = match reader.var("monopg_volume_size") {
        Some(_) => reader.take("monopg_volume_size", check::quantity),
        None => Some(Bytes {
            text: "8Gi".to_owned(),
            bytes: 8 << 30,
        }),
    };
    let username = optional(reader, "monopg_username", username);
    let database = with_default(reader, "monopg_database", "app", database);
    let wants_user = username.as_ref().map(Option::is_some);
    let credentials = reader.take("monopg_credentials", |n| credentials(n, wants_user));
    let allowed_clients = list(reader, "monopg_allowed_clients", check::client);
    let metrics_clients = list(reader, "monopg_metrics_clients", check::client);
    let private_cidrs = list(reader, "monopg_private_cidrs", check::cidr);
    let metrics = match reader.var("monopg_metrics") {
        Some(_) => reader.take("monopg_metrics", metrics),
        None => Some(false),
    };
    let image = optional(reader, "monopg_image", image);
    reader.take("monopg_clear_text_secrets", |node| match text(node)? {
        "refused" | "allowed" => Ok(()),
        other => Err(vec![
            bad(format!("{} is neither refused nor allowed", shown(other))).at(node),
        ]),
    });
    list(reader, "monopg_clear_text_allowed", |node| {
        text(node).map(str::to_owned)
    });
    everybody(reader);
    let values = values(reader, &paths, &options.cwd);

    // From here on the parts are compared with each other, so all of them must be there.
    let (chart, release, namespace) = (chart?, release?, namespace?);
    let (storage_class, volume_size, database) = (storage_class?, volume_size?, database?);
    let (username, image, metrics) = (username?, image?, metrics?);
    let fullname = fullname(&release);
    let wanted = owned::Wanted {
        chart: &chart.name,
        fullname: &fullname,
        namespace: &namespace,
        storage_class: &storage_class,
        volume_size: &volume_size,
        username: username.as_deref(),
        database: &database,
        metrics,
        image: image.as_ref(),
    };
    reader
        .problems
        .extend(owned::conflicts(&values.merged, &wanted));
    let pod_labels = pod_labels(&values.merged, &chart.name, &release);
    let extra_deploy = objects::read(
        &values.merged,
        &pod_labels,
        &mut reader.problems,
        &mut reader.warnings,
    );
    Some(Spec {
        chart,
        helm: helm?,
        release,
        namespace,
        storage_path: storage_path?,
        storage_class,
        volume_size,
        username,
        database,
        values_files: values.files,
        credentials: credentials?,
        allowed_clients: allowed_clients?,
        metrics,
        metrics_clients: metrics_clients?,
        private_cidrs: private_cidrs?,
        image,
        extra_deploy,
    })
}

fn base_dir(reader: &mut Reader<'_>, home: Option<&Path>, inventory_dir: &Path) -> PathBuf {
    let paths = Paths {
        base: inventory_dir,
        home,
    };
    reader
        .take("monopg_base_dir", |node| Ok(paths.absolute(text(node)?)))
        .unwrap_or_else(|| inventory_dir.to_path_buf())
}

fn with_default(
    reader: &mut Reader<'_>,
    name: &str,
    default: &str,
    check: impl Fn(&Node) -> Checked<String>,
) -> Option<String> {
    match reader.var(name) {
        Some(_) => reader.take(name, check),
        None => Some(default.to_owned()),
    }
}

/// The outer `None`: wrong; the inner: not set.
fn optional<T>(
    reader: &mut Reader<'_>,
    name: &str,
    check: impl Fn(&Node) -> Checked<T>,
) -> Option<Option<T>> {
    match reader.var(name) {
        Some(_) => reader.take(name, check).map(Some),
        None => Some(None),
    }
}

fn list<T>(
    reader: &mut Reader<'_>,
    name: &str,
    check: impl Fn(&Node) -> Checked<T>,
) -> Option<Vec<T>> {
    match reader.var(name) {
        Some(_) => reader.take(name, |node| check::each(check::list(node)?, check)),
        None => Some(Vec::new()),
    }
}

fn chart(reader: &mut Reader<'_>, paths: &Paths<'_>) -> Option<ChartPin> {
    let name = with_default(reader, "monopg_chart_name", "postgresql", |n| {
        check::label(n, 63)
    });
    let known = name.clone().unwrap_or_else(|| "postgresql".to_owned());
    let source = reader.take("monopg_chart", |n| source::chart(n, &known, paths));
    let version = reader.take("monopg_chart_version", check::version);
    let sha256 = reader.take("monopg_chart_sha256", check::sha256);
    Some(ChartPin {
        source: source?,
        name: name?,
        version: version?.0,
        sha256: sha256?,
    })
}

fn helm(reader: &mut Reader<'_>, paths: &Paths<'_>) -> Option<HelmPin> {
    let version = reader.take("monopg_helm_version", |node| {
        let (_, version) = check::version(node)?;
        let hint = |hint: &str| {
            Err(vec![
                bad(format!("Helm {version} cannot be used"))
                    .at(node)
                    .hint(hint),
            ])
        };
        match (version.major, version.minor) {
            (3, minor) if minor >= 13 => Ok(version),
            (4, _) => Ok(version),
            (0..=3, _) => hint("3.13 or newer is needed"),
            _ => hint("monopg knows Helm 3 and 4"),
        }
    });
    let sha256 = reader.take("monopg_helm_sha256", |node| {
        if node.as_mapping().is_none() {
            let one = check::sha256(node)?;
            return Ok(BTreeMap::from([
                (Arch::Amd64, one.clone()),
                (Arch::Arm64, one),
            ]));
        }
        let pairs = check::map(node, &["amd64", "arm64"])?;
        if pairs.is_empty() {
            return Err(vec![bad("names no architecture").at(node)]);
        }
        let mut digests: BTreeMap<Arch, Sha256Hex> = BTreeMap::new();
        let mut bads: Vec<Bad> = Vec::new();
        for (arch, digest) in pairs {
            match (Arch::from_uname(&arch), check::sha256(digest)) {
                (Some(arch), Ok(digest)) => {
                    digests.insert(arch, digest);
                }
                (_, Err(more)) => bads.extend(more),
                (None, _) => bads.push(bad(format!("{} is unknown", shown(&arch)))),
            }
        }
        if bads.is_empty() {
            Ok(digests)
        } else {
            Err(bads)
        }
    });
    let source = reader.take("monopg_helm_source", |n| source::helm(n, paths));
    let (version, sha256, source) = (version?, sha256?, source?);
    let differ = sha256.get(&Arch::Amd64).zip(sha256.get(&Arch::Arm64));
    if differ.is_some_and(|(a, b)| a != b) && !source.contains("{arch}") {
        let mut problem = SettingProblem::new(
            "settings.value",
            "names one archive, but monopg_helm_sha256 has two digests",
        )
        .of("monopg_helm_source")
        .hint("put {arch} where the architecture stands in the name");
        problem.place = reader
            .var("monopg_helm_source")
            .map(|var| var.place.clone());
        reader.problems.push(problem);
    }
    Some(HelmPin {
        version,
        sha256,
        source,
    })
}

fn username(node: &Node) -> Checked<String> {
    let name = check::identifier(node)?;
    match name.as_str() {
        "postgres" => Err(vec![
            bad("`postgres` is the administrator, who is always there")
                .at(node)
                .hint("leave monopg_username out"),
        ]),
        name if name.starts_with("pg_") => Err(vec![
            bad("names that begin with `pg_` belong to PostgreSQL").at(node),
        ]),
        _ => Ok(name),
    }
}

fn database(node: &Node) -> Checked<String> {
    let name = check::identifier(node)?;
    if matches!(name.as_str(), "template0" | "template1") {
        return Err(vec![
            bad(format!("{} belongs to PostgreSQL", shown(&name))).at(node),
        ]);
    }
    Ok(name)
}

/// Values never appear in what is said about them.
///
/// `wants_user`: whether there is a `monopg_username`; `None` if that is wrong.
fn credentials(node: &Node, wants_user: Option<bool>) -> Checked<BTreeMap<String, Secret>> {
    const ADMIN: &str = "postgres-password";
    const USER: &str = "password";
    if node.as_mapping().is_none() {
        // Not `not(…)`: that would show the value.
        return Err(vec![
            bad(format!(
                "must be a mapping of passwords, not {}",
                node.kind()
            ))
            .at(node),
        ]);
    }
    let pairs = check::map(node, &[ADMIN, USER])?;
    let mut bads = Vec::new();
    let mut out = BTreeMap::new();
    for (key, value) in &pairs {
        match connection::secret(value) {
            Ok(secret) if secret.expose().iter().any(u8::is_ascii_control) => bads.push(
                bad(format!(
                    "`{key}` has a line break or another control character in it"
                ))
                .at(value)
                .hint("a file with a line break at its end is the usual reason"),
            ),
            Ok(secret) => {
                out.insert(key.clone(), secret);
            }
            Err(more) => bads.extend(more.into_iter().map(|b| Bad {
                what: format!("`{key}` {}", b.what),
                ..b
            })),
        }
    }
    let given = |key: &str| pairs.iter().find(|(k, _)| k == key);
    if given(ADMIN).is_none() {
        bads.push(bad(format!("`{ADMIN}` is missing")).at(node));
    }
    match (given(USER), wants_user) {
        (None, Some(true)) => bads.push(
            bad(format!("`{USER}` is missing"))
                .at(node)
                .hint("it is the password of monopg_username"),
        ),
        (Some((_, value)), Some(false)) => bads.push(
            bad(format!(
                "`{USER}` is given, but there is no monopg_username"
            ))
            .at(value)
            .hint("the administrator's password is `postgres-password`"),
        ),
        _ => {}
    }
    if bads.is_empty() { Ok(out) } else { Err(bads) }
}

fn metrics(node: &Node) -> Checked<bool> {
    let pairs = check::map(node, &["enabled"])?;
    match pairs.first() {
        Some((_, value)) => check::boolean(value).map_err(|bads| {
            bads.into_iter()
                .map(|b| Bad {
                    what: format!("enabled: {}", b.what),
                    ..b
                })
                .collect()
        }),
        None => Ok(false),
    }
}

fn image(node: &Node) -> Checked<ImageMapping> {
    let mut image = ImageMapping::default();
    let mut bads = Vec::new();
    let pairs = check::map(node, &["registry", "repository", "tag", "digest"])?;
    for (key, value) in pairs {
        let word = |allowed: &str, inner: fn(u8) -> bool| -> Checked<String> {
            let text = text(value)?;
            let first = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            if first && text.len() <= 255 && text.bytes().all(inner) {
                return Ok(text.to_owned());
            }
            Err(vec![
                bad(format!("{key}: {} is not {allowed}", shown(text))).at(value),
            ])
        };
        let alnum = |b: u8| b.is_ascii_alphanumeric();
        let outcome = match key.as_str() {
            "registry" => word("a registry", |b| {
                b.is_ascii_alphanumeric() || b".-:".contains(&b)
            })
            .map(|v| image.registry = Some(v)),
            "repository" => word(
                "the name of an image, without registry, tag and digest",
                |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b),
            )
            .map(|v| image.repository = Some(v)),
            "tag" => word("a tag", |b| {
                b.is_ascii_alphanumeric() || b"._-".contains(&b)
            })
            .map(|v| image.tag = Some(v)),
            _ => match text(value) {
                Ok(text) => match text.strip_prefix("sha256:") {
                    Some(digits) if digits.len() == 64 && digits.bytes().all(alnum) => {
                        check::sha256(value).map(|d| image.digest = Some(format!("sha256:{d}")))
                    }
                    _ => Err(vec![
                        bad(format!("digest: {} is not sha256:…", shown(text))).at(value),
                    ]),
                },
                Err(bads) => Err(bads),
            },
        };
        if let Err(more) = outcome {
            bads.extend(more);
        }
    }
    if image == ImageMapping::default() && bads.is_empty() {
        bads.push(
            bad("names no image")
                .at(node)
                .hint("give it a registry, a repository, a tag or a digest, or leave it out"),
        );
    }
    if bads.is_empty() {
        Ok(image)
    } else {
        Err(bads)
    }
}

/// A range of all addresses is legal, but nobody writes it knowing that it means everybody.
fn everybody(reader: &mut Reader<'_>) {
    for name in ["monopg_allowed_clients", "monopg_metrics_clients"] {
        let Some(var) = reader.var(name) else {
            continue;
        };
        let items = var.node.as_sequence().unwrap_or_default();
        let open: Vec<Place> = items
            .iter()
            .filter(|i| {
                matches!(
                    i.get("cidr").and_then(Node::as_str),
                    Some("0.0.0.0/0" | "::/0")
                )
            })
            .map(|i| var.place.at(i.mark))
            .collect();
        reader.warnings.extend(
            open.iter()
                .map(|place| format!("{place}: {name}: this entry lets every address in")),
        );
    }
}

fn values(reader: &mut Reader<'_>, paths: &Paths<'_>, cwd: &Path) -> values::Values {
    let list = reader.take("monopg_values_files", |node| {
        node.as_sequence().map(<[Node]>::to_vec).ok_or_else(|| {
            let hint = node.as_str().map(|t| format!("write it as [{t}]"));
            vec![Bad {
                hint,
                ..not("a list", node)
            }]
        })
    });
    let place = reader
        .var("monopg_values_files")
        .map_or(Place::Flag("-e"), |var| var.place.clone());
    values::read(
        &list.unwrap_or_default(),
        &place,
        paths,
        cwd,
        &mut reader.problems,
        &mut reader.warnings,
    )
}

/// What the chart calls its objects: the release's name if it contains `postgresql`, else
/// `<release>-postgresql`. A release's name is a label of at most 53 characters here, so nothing is cut.
fn fullname(release: &str) -> String {
    if release.contains("postgresql") {
        release.to_owned()
    } else {
        format!("{release}-postgresql")
    }
}

/// `monopg_release`: Helm takes it, and Kubernetes takes the names that the chart makes of it.
fn release(node: &Node) -> Checked<String> {
    let release = check::label(node, RELEASE)?;
    let full = fullname(&release);
    if !release.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(vec![
            bad(format!("{} begins with a digit", shown(&release)))
                .at(node)
                .hint("the name of a Service must begin with a letter"),
        ]);
    }
    if full.len() > STATEFUL_SET {
        return Err(vec![
            bad(format!(
                "the chart would name its objects {}, which has {} characters",
                shown(&full),
                full.len()
            ))
            .at(node)
            .hint(format!(
                "at most {STATEFUL_SET} are possible: Kubernetes adds to the name of a StatefulSet to label its pods"
            )),
        ]);
    }
    Ok(release)
}

/// The labels of the database's pod as far as they are known.
fn pod_labels(values: &Merged, name: &str, release: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for path in [&["commonLabels"][..], &["primary", "podLabels"]] {
        let Some(node) = values.at(path).map(Merged::to_node) else {
            continue;
        };
        for (key, value) in node.as_mapping().into_iter().flat_map(|m| m.iter()) {
            labels.insert(key.key_text(), value.scalar_text().unwrap_or_default());
        }
    }
    for (key, value) in [
        ("app.kubernetes.io/name", name),
        ("app.kubernetes.io/instance", release),
        ("app.kubernetes.io/component", "primary"),
        ("app.kubernetes.io/managed-by", "Helm"),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}
