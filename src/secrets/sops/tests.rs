use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use proptest::prelude::*;

use super::*;
use crate::secrets::Keyring;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/sops")
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sops")
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// With the environment that is given; paths are relative to the folder.
fn keys_in(folder: &Path, home: Option<&Path>, env: &[(&str, &str)]) -> Keyring {
    let mut options = KeyOptions::new(folder);
    options.home = home.map(Path::to_owned);
    let env: Vec<(String, String)> = env
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    options.env = Arc::new(move |name| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()));
    Keyring::new(&options)
}

fn key1() -> Keyring {
    keys_in(&vectors(), None, &[("SOPS_AGE_KEY_FILE", "key1.txt")])
}

fn view(keys: &Keyring, folder: &Path, name: &str, as_json: bool) -> String {
    let clear = keys.view_sops(name, &text(folder, name), as_json);
    let clear = clear.map_err(|e| format!("{name}: {}", e.what)).unwrap();
    clear.expose_str().unwrap().to_owned()
}

#[test]
fn what_sops_prints_byte_for_byte() {
    let ssh = keys_in(
        &vectors(),
        None,
        &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "ssh_ed25519")],
    );
    let rsa = keys_in(
        &fixtures(),
        None,
        &[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "ssh_rsa")],
    );
    let key1 = key1();
    let (v, f) = (&vectors(), &fixtures());
    for (folder, keys, name, ending) in [
        (v, &key1, "01-basic", "yaml"),
        (v, &key1, "03-k8s-secret", "yaml"),
        (v, &key1, "04-basic", "json"),
        (v, &key1, "05-dotenv", "env"),
        (v, &ssh, "08-ssh", "yaml"),
        (v, &key1, "10-unencrypted-scalars", "yaml"),
        (v, &key1, "12-unencrypted-regex", "yaml"),
        (f, &key1, "documents", "yaml"),
        (f, &key1, "by-comment", "yaml"),
        (f, &key1, "comments", "yaml"),
        (f, &key1, "binary", "txt"),
    ] {
        let clear = view(keys, folder, &format!("{name}.enc.{ending}"), false);
        assert_eq!(
            clear,
            text(folder, &format!("{name}.dec.{ending}")),
            "{name}"
        );
        if folder == v && ending != "env" {
            let json = view(keys, folder, &format!("{name}.enc.{ending}"), true);
            assert_eq!(json, text(folder, &format!("{name}.dec.as.json")), "{name}");
        }
    }
    assert_eq!(view(&rsa, f, "rsa.enc.yaml", false), "k: for rsa\n");
    insta::assert_snapshot!(view(&key1, v, "05-dotenv.enc.env", true), @r#"
    {
    	"POSTGRES_PASSWORD": "p@ss w0rd",
    	"EMPTY": "",
    	"MULTI": "line1\nline2",
    	"QUOTED": "\"with quotes\"",
    	"EQ": "a=b=c"
    }
    "#);
}

#[test]
fn ansible_gets_what_it_would_read_again() {
    let name = "01-basic.enc.yaml";
    let node = key1().open_sops(name, &text(&vectors(), name)).unwrap();
    assert!(Keyring::is_sops(
        &yaml::parse_one(name, &text(&vectors(), name), Schema::Ansible11)
            .unwrap()
            .0
    ));
    assert!(node.get("sops").is_none());
    // Lines are those of the encrypted file, for messages.
    assert_eq!(node.get("bool_t").unwrap().mark.line, 13);
    fn all_sealed(node: &Node) -> bool {
        node.sealed
            && match &node.value {
                Value::Sequence(items) => items.iter().all(all_sealed),
                Value::Mapping(mapping) => mapping.iter().all(|(_, v)| all_sealed(v)),
                _ => true,
            }
    }
    assert!(all_sealed(&node));
    let json = node.to_json(name).unwrap();
    insta::assert_snapshot!(json.to_string(), @r#"{"str":"hello","empty":"","space":" padded ","uni":"é✓ 日本","multi":"line1\nline2\n","int":42,"neg":-7,"big":9007199254740993,"float":1.5,"float2":"1e+21","float3":3,"bool_t":true,"bool_f":false,"nul":null,"tilde":null,"date":"2024-01-02T00:00:00+00:00","datetime":"2024-01-02T03:04:05+00:00","yes_str":"yes","octal":420,"quoted_num":"42","list":["a",1,true,null,{"nested":"deep","k2":"v2"},["x","y"]],"map":{"sub":{"password":"p@ss"}},"plain_unencrypted":"visible","map_unencrypted":{"inner":"also visible","n":5}}"#);

    let name = "04-basic.enc.json";
    let node = key1().open_sops(name, &text(&vectors(), name)).unwrap();
    assert_eq!(node.get("exp").unwrap().mark.line, 6);
    insta::assert_snapshot!(node.to_json(name).unwrap().to_string(), @r#"{"str":"hello","n":1,"f":1.25,"big":9007199254740992,"exp":100000,"t":true,"nul":null,"e":"","a":[1,"x",{"b":false}],"o":{"p":"q"},"plain_unencrypted":3,"html":"<a&b>"}"#);
}

#[test]
fn what_was_changed_is_refused() {
    let keys = key1();
    let mut told = String::new();
    for name in [
        "bitflip",
        "key-order",
        "no-mac",
        "swapped-values",
        "value-removed",
    ] {
        let name = format!("bad/{name}.enc.yaml");
        let text = text(&vectors(), &name);
        assert!(Keyring::is_sops_text(&name, &text));
        let e = keys.open_sops(&name, &text).unwrap_err();
        told += &format!("{name}:{}: {}\n", e.line.unwrap(), e.what);
        assert!(keys.view_sops(&name, &text, false).is_err());
    }
    insta::assert_snapshot!(told, @"
    bad/bitflip.enc.yaml:4: the value of auth.password cannot be decrypted: it was changed, or moved to another place
    bad/key-order.enc.yaml:13: the MAC of the file is wrong: something was changed, removed or moved after it was encrypted
    bad/no-mac.enc.yaml:13: the file has no MAC: nothing says that it is complete and unchanged
    bad/swapped-values.enc.yaml:4: the value of auth.password cannot be decrypted: it was changed, or moved to another place
    bad/value-removed.enc.yaml:12: the MAC of the file is wrong: something was changed, removed or moved after it was encrypted
    ");
    let name = "bad/maconly-unencrypted-changed-OK.enc.yaml";
    assert!(keys.open_sops(name, &text(&vectors(), name)).is_ok());
}

#[test]
fn identities_are_found_where_sops_finds_them() {
    let (v, f) = (vectors(), fixtures());
    let home = tempfile::tempdir().unwrap();
    let opens = |env: &[(&str, &str)], home: Option<&Path>| {
        let keys = keys_in(&v, home, env);
        let basic = keys.open_sops("a.yaml", &text(&v, "03-k8s-secret.enc.yaml"));
        let ssh = keys.open_sops("a.yaml", &text(&v, "08-ssh.enc.yaml"));
        (basic.is_ok(), ssh.is_ok())
    };
    let key = text(&v, "key1.txt");
    let key = key.lines().find(|l| l.starts_with("AGE")).unwrap();
    let other = age::x25519::Identity::generate();
    let both = format!("{} {key}", other.to_string().expose_secret());
    assert_eq!(opens(&[], None), (false, false));
    assert_eq!(opens(&[("SOPS_AGE_KEY", key)], None), (true, false));
    assert_eq!(opens(&[("SOPS_AGE_KEY", &both)], None), (true, false));
    for (name, value, want) in [
        ("SOPS_AGE_KEY_FILE", "key1.txt", (true, false)),
        ("SOPS_AGE_KEY_FILE", "keys-both.txt", (true, false)),
        ("SOPS_AGE_KEY_FILE", "missing.txt", (false, false)),
        ("SOPS_AGE_KEY_FILE", "", (false, false)),
        ("SOPS_AGE_KEY_CMD", "cat 'key1.txt'", (true, false)),
        ("SOPS_AGE_KEY_CMD", "sh -c 'exit 3'", (false, false)),
        ("SOPS_AGE_KEY_CMD", "'unfinished", (false, false)),
        (
            "SOPS_AGE_SSH_PRIVATE_KEY_FILE",
            "ssh_ed25519",
            (false, true),
        ),
        (
            "SOPS_AGE_SSH_PRIVATE_KEY_CMD",
            "cat ssh_ed25519",
            (false, true),
        ),
        // The command is told for whom the key is wanted.
        (
            "SOPS_AGE_KEY_CMD",
            "sh -c 'test \"$SOPS_AGE_RECIPIENT\" = age1j2659c95hpy7my367athe4h7rqawzdm44akv96rg28n8f9733ytsxfmxe4 && cat key1.txt'",
            (true, false),
        ),
    ] {
        assert_eq!(opens(&[(name, value)], None), want, "{name}={value}");
    }
    // The first that fails does not hide the next.
    let several = [("SOPS_AGE_KEY_FILE", "missing"), ("SOPS_AGE_KEY", key)];
    assert_eq!(opens(&several, None), (true, false));

    let config = home.path().join(".config/sops/age");
    fs::create_dir_all(&config).unwrap();
    fs::create_dir_all(home.path().join(".ssh")).unwrap();
    assert_eq!(opens(&[], Some(home.path())), (false, false));
    fs::copy(v.join("key1.txt"), config.join("keys.txt")).unwrap();
    fs::copy(v.join("ssh_ed25519"), home.path().join(".ssh/id_ed25519")).unwrap();
    assert_eq!(opens(&[], Some(home.path())), (true, true));
    let xdg = home.path().join(".config").display().to_string();
    assert_eq!(opens(&[("XDG_CONFIG_HOME", &xdg)], None), (true, false));
    fs::copy(f.join("ssh_rsa"), home.path().join(".ssh/id_rsa")).unwrap();
    let rsa = keys_in(&f, Some(home.path()), &[]);
    assert!(rsa.open_sops("a.yaml", &text(&f, "rsa.enc.yaml")).is_ok());
}

#[test]
fn what_cannot_be_used_is_said() {
    let told = |env: &[(&str, &str)], name: &str| {
        let keys = keys_in(&fixtures(), None, env);
        let e = keys.open_sops(name, &text(&fixtures(), name)).unwrap_err();
        format!("{}: {}\n  {}\n", e.line.unwrap(), e.what, e.hint.unwrap())
    };
    let other = age::x25519::Identity::generate();
    let other = other.to_string();
    let mut all = String::new();
    for (name, value, file) in [
        ("NONE", "", "rsa.enc.yaml"),
        ("SOPS_AGE_KEY", other.expose_secret(), "comments.enc.yaml"),
        ("SOPS_AGE_KEY_FILE", "missing.txt", "comments.enc.yaml"),
        (
            "SOPS_AGE_KEY",
            "AGE-PLUGIN-YUBIKEY-1QQQQ",
            "comments.enc.yaml",
        ),
        (
            "SOPS_AGE_KEY",
            "AGE-SECRET-KEY-1CANARY",
            "comments.enc.yaml",
        ),
        ("SOPS_AGE_KEY_CMD", "sh -c 'exit 3'", "comments.enc.yaml"),
        (
            "SOPS_AGE_SSH_PRIVATE_KEY_FILE",
            "ssh_protected",
            "protected.enc.yaml",
        ),
        (
            "SOPS_AGE_SSH_PRIVATE_KEY_FILE",
            "README.md",
            "protected.enc.yaml",
        ),
    ] {
        all += &told(&[(name, value)], file);
    }
    assert!(!all.contains("CANARY"));
    insta::assert_snapshot!(all, @"
    3: this is encrypted with SOPS for ssh-rsa AAAAB3NzaC1yc2EA…M65nvjhzLDI5, and no age identity was found
      put the identity into sops/age/keys.txt, or name its file: SOPS_AGE_KEY_FILE=FILE
    12: this is encrypted with SOPS for age1j2659c95hpy7my367athe4h7rqawzdm44akv96rg28n8f9733ytsxfmxe4; none of the 1 age identities opens it
      put the identity into sops/age/keys.txt, or name its file: SOPS_AGE_KEY_FILE=FILE
    12: this is encrypted with SOPS for age1j2659c95hpy7my367athe4h7rqawzdm44akv96rg28n8f9733ytsxfmxe4, and no age identity was found; missing.txt cannot be read: No such file or directory (os error 2)
      put the identity into sops/age/keys.txt, or name its file: SOPS_AGE_KEY_FILE=FILE
    12: this is encrypted with SOPS for age1j2659c95hpy7my367athe4h7rqawzdm44akv96rg28n8f9733ytsxfmxe4, and no age identity was found; SOPS_AGE_KEY holds an identity of an age plugin, which monopg does not run
      put the identity into sops/age/keys.txt, or name its file: SOPS_AGE_KEY_FILE=FILE
    12: this is encrypted with SOPS for age1j2659c95hpy7my367athe4h7rqawzdm44akv96rg28n8f9733ytsxfmxe4, and no age identity was found; SOPS_AGE_KEY holds something that is not an age identity
      put the identity into sops/age/keys.txt, or name its file: SOPS_AGE_KEY_FILE=FILE
    12: this is encrypted with SOPS for age1j2659c95hpy7my367athe4h7rqawzdm44akv96rg28n8f9733ytsxfmxe4, and no age identity was found; SOPS_AGE_KEY_CMD failed: it ended with 3
      put the identity into sops/age/keys.txt, or name its file: SOPS_AGE_KEY_FILE=FILE
    3: this is encrypted with SOPS for ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILVfQfT6BFZq+UAwyb6SPwkzmjJTcPQBZCM/BzwJ4jvp, and no age identity was found; the SSH key of ssh_protected is protected by a passphrase, which monopg does not ask for
      put the identity into sops/age/keys.txt, or name its file: SOPS_AGE_KEY_FILE=FILE
    3: this is encrypted with SOPS for ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILVfQfT6BFZq+UAwyb6SPwkzmjJTcPQBZCM/BzwJ4jvp, and no age identity was found; README.md does not hold an SSH private key
      put the identity into sops/age/keys.txt, or name its file: SOPS_AGE_KEY_FILE=FILE
    ");
}

/// What metadata alone decide.
#[test]
fn files_for_others_are_refused_by_name() {
    let told = |name: &str, sops: &str| {
        let text = format!(
            "a: x\nsops:\n{sops}    lastmodified: \"2024-01-02T03:04:05Z\"\n    mac: ENC[x]\n"
        );
        let e = key1().open_sops(name, &text).unwrap_err();
        format!(
            "{:?} {}\n  {}\n",
            e.line,
            e.what,
            e.hint.as_deref().unwrap_or("-")
        )
    };
    let group = "[{age: [], pgp: [{fp: X, enc: e}]}]";
    let mut all = String::new();
    for sops in [
        "    kms: []\n    pgp:\n        - fp: X\n          enc: e\n    age: []\n".to_owned(),
        "    hc_vault: [{enc: e}]\n    kms: [{enc: e}]\n".to_owned(),
        "    shamir_threshold: 2\n    key_groups: [{age: [{recipient: a, enc: e}]}, {pgp: [{enc: e}]}]\n".to_owned(),
        format!("    key_groups: {group}\n"),
        "    kms: []\n".to_owned(),
        "    age: [{recipient: a, enc: e}]\n    encrypted_regex: a\n    unencrypted_suffix: b\n".to_owned(),
        "    age: [{recipient: a, enc: e}]\n    encrypted_regex: \"(\"\n".to_owned(),
        "    age: [{recipient: a, enc: e}]\n".to_owned(),
    ] {
        all += &told("x.yaml", &sops);
    }
    all += &told("x.ini", "");
    insta::assert_snapshot!(all, @"
    Some(3) this file is encrypted with SOPS for PGP only; monopg opens age recipients
      let SOPS itself open it: sops decrypt x.yaml; or add a recipient: sops rotate --in-place --add-age age1… x.yaml
    Some(3) this file is encrypted with SOPS for AWS KMS and HashiCorp Vault only; monopg opens age recipients
      let SOPS itself open it: sops decrypt x.yaml; or add a recipient: sops rotate --in-place --add-age age1… x.yaml
    Some(3) the key of this file is shared among 2 groups (Shamir), which monopg does not read
      let SOPS itself open it: sops decrypt x.yaml
    Some(3) this file is encrypted with SOPS for PGP only; monopg opens age recipients
      let SOPS itself open it: sops decrypt x.yaml; or add a recipient: sops rotate --in-place --add-age age1… x.yaml
    Some(3) the SOPS metadata name no recipient: nobody can open this file
      restore the `sops` section of the file
    Some(4) the SOPS metadata have a second rule of what is encrypted, `encrypted_regex`; one is allowed
      -
    Some(4) `encrypted_regex` of the SOPS metadata is not a pattern
      -
    Some(3) this is encrypted with SOPS for a; none of the 1 age identities opens it; the key for a is damaged
      put the identity into sops/age/keys.txt, or name its file: SOPS_AGE_KEY_FILE=FILE
    None SOPS files in INI form are not read
      let SOPS itself open it: sops decrypt x.ini
    ");
}

/// A file as SOPS writes it: a key for `identity`, values by [`value::seal`].
fn file(body: &str, settings: &str, mac: &str, mac_path: &str) -> (Keyring, String) {
    use std::io::Write as _;
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public();
    let mut armored = Vec::new();
    let recipients = [&recipient as &dyn age::Recipient];
    let encryptor = age::Encryptor::with_recipients(recipients.into_iter()).unwrap();
    let armor =
        age::armor::ArmoredWriter::wrap_output(&mut armored, age::armor::Format::AsciiArmor);
    let mut writer = encryptor.wrap_output(armor.unwrap()).unwrap();
    writer.write_all(&K).unwrap();
    writer
        .finish()
        .and_then(age::armor::ArmoredWriter::finish)
        .unwrap();
    let armored = String::from_utf8(armored).unwrap();
    let enc: String = armored
        .lines()
        .map(|l| format!("              {l}\n"))
        .collect();
    let mac = value::seal(&K, 9, mac, "str", mac_path);
    let text = format!(
        "{body}sops:\n    age:\n        - recipient: {recipient}\n          enc: |\n{enc}    lastmodified: \"{mac_path}\"\n    mac: {mac}\n{settings}"
    );
    let secret = identity.to_string();
    let keys = keys_in(
        &vectors(),
        None,
        &[("SOPS_AGE_KEY", secret.expose_secret())],
    );
    (keys, text)
}

const K: [u8; value::KEY] = [7; value::KEY];

fn mac(parts: &[&str]) -> String {
    use sha2::{Digest as _, Sha512};
    let hash = Sha512::digest(parts.concat().as_bytes());
    hash.iter().map(|b| format!("{b:02X}")).collect()
}

#[test]
fn the_mac_is_that_of_the_time_it_names() {
    let time = "2024-01-02T03:04:05Z";
    let body = format!("a: {}\n", value::seal(&K, 1, "x", "str", "a:"));
    let (keys, text) = file(&body, "", &mac(&["x"]), time);
    assert!(keys.open_sops("a.yaml", &text).is_ok());
    let other = text.replace(time, "2025-01-02T03:04:05Z");
    assert!(keys.open_sops("a.yaml", &other).is_err());
    let same = text.replace(time, "2024-01-02T03:04:05.25+00:00");
    assert!(keys.open_sops("a.yaml", &same).is_ok());
    // One more value, even an unencrypted one, is not in the MAC.
    let more = format!("b_unencrypted: y\n{text}");
    assert!(keys.open_sops("a.yaml", &more).is_err());
    let twice = format!("{body}{text}");
    let e = keys.open_sops("a.yaml", &twice).unwrap_err();
    assert!(e.what.contains("stands twice"), "{}", e.what);
}

#[test]
fn large_numbers_of_json_by_either_version() {
    let time = "2024-01-02T03:04:05Z";
    let yaml = |sum: &str| file("n_unencrypted: 9007199254740993\n", "", &mac(&[sum]), time);
    let (keys, text) = yaml("9007199254740993");
    assert!(keys.open_sops("a.yaml", &text).is_ok());
    for (sum, sound) in [
        ("9007199254740993", true),
        ("9007199254740992", true),
        ("9007199254740994", false),
    ] {
        let (keys, text) = yaml(sum);
        let (node, _) = yaml::parse_one("", &text, Schema::GoYaml3).unwrap();
        let json = node.to_json("").unwrap().to_string();
        assert_eq!(keys.open_sops("a.json", &json).is_ok(), sound, "{sum}");
    }
}

#[test]
fn files_written_in_other_ways_are_read_too() {
    let time = "2024-01-02T03:04:05Z";
    let a = value::seal(&K, 1, "x: y", "str", "a:");
    let b = value::seal(&K, 2, "two\nlines\n", "str", "b:c:");
    let folded = b
        .replace(",tag:", ",\n     tag:")
        .replace(",\n     tag:", ",tag:");
    let body = format!("{{\"a\": '{a}', b: {{c: [\"{folded}\", null]}}}}\n");
    let (keys, text) = file(&body, "", &mac(&["x: y", "two\nlines\n"]), time);
    // The metadata stand inside of the braces.
    let (head, sops) = text.split_at(body.len());
    let (node, _) = yaml::parse_one("", sops, Schema::GoYaml3).unwrap();
    let sops = node.to_json("").unwrap();
    let flow = format!(
        "{}, \"sops\": {}}}\n",
        head.trim_end().strip_suffix('}').unwrap(),
        sops["sops"]
    );
    let clear = keys.view_sops("a.yaml", &flow, false).unwrap();
    insta::assert_snapshot!(clear.expose_str().unwrap(), @"
    a: 'x: y'
    b:
        c:
            - |
              two
              lines
            - null
    ");
}

proptest! {
    #[test]
    fn nothing_makes_the_readers_panic(bytes in "\\PC*", name in "a\\.(yaml|json|env|ini|txt)") {
        let keys = Keyring::none();
        let _ = Keyring::is_sops_text(&name, &bytes);
        let _ = keys.open_sops(&name, &bytes);
        let _ = keys.view_sops(&name, &bytes, true);
    }

    #[test]
    fn no_value_makes_the_reader_panic(
        data in "[A-Za-z0-9+/=,:]{0,40}",
        iv in "[A-Za-z0-9+/=]{0,48}",
        kind in "[a-z\\]]{0,5}",
    ) {
        let key = value::DataKey::new(&K).unwrap();
        let sealed = format!("ENC[AES256_GCM,data:{data},iv:{iv},tag:{iv},type:{kind}]");
        prop_assert!(key.open(&sealed, "a:").is_err());
    }

    #[test]
    fn no_metadata_make_the_reader_panic(
        key in "(age|pgp|kms|key_groups|mac|lastmodified|encrypted_regex|mac_only_encrypted)",
        value in "(\\[\\]|\\[\\{enc: [a-z]*\\}\\]|\\{\\}|~|1|true|[a-z(*+?]{0,6})",
        flat in "sops_[a-z_]{0,8}(__list_[0-9]{0,25})?(__map_[a-z]{0,4})?=[a-z]{0,5}",
    ) {
        let keys = Keyring::none();
        let _ = keys.open_sops("a.yaml", &format!("a: b\nsops:\n    mac: x\n    {key}: {value}\n"));
        let _ = keys.open_sops("a.env", &format!("A=b\n{flat}\nsops_mac=x\n"));
    }

    #[test]
    fn values_come_back_in_place(
        strings in proptest::collection::vec("(\\PC|\n| ){0,12}", 1..6),
        in_list: bool,
    ) {
        let time = "2024-01-02T03:04:05Z";
        let mut body = String::from("m:\n");
        for (i, text) in strings.iter().enumerate() {
            let (head, path) = match in_list {
                true => ("    - ".to_owned(), "m:".to_owned()),
                false => (format!("    k{i}: "), format!("m:k{i}:")),
            };
            let sealed = match text.is_empty() {
                true => "\"\"".to_owned(),
                false => value::seal(&K, i as u8, text, "str", &path),
            };
            body += &format!("{head}{sealed}\n");
        }
        let parts: Vec<&str> = strings.iter().map(String::as_str).collect();
        let (keys, text) = file(&body, "", &mac(&parts), time);
        let clear = keys.view_sops("a.yaml", &text, false).unwrap();
        let (node, _) = yaml::parse_one("", clear.expose_str().unwrap(), Schema::GoYaml3).unwrap();
        let m = node.get("m").unwrap();
        for (i, want) in strings.iter().enumerate() {
            let got = match in_list {
                true => &m.as_sequence().unwrap()[i],
                false => m.get(&format!("k{i}")).unwrap(),
            };
            prop_assert_eq!(got.as_str(), Some(want.as_str()), "{}", clear.expose_str().unwrap());
        }
    }
}
