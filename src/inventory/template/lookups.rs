//! `lookup`, `query` and `q`: environment variables, files and variables by name. What a lookup gives is never
//! a template.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, functions};

use super::args::{Args, wrong};
use super::bounds::MAX_TEXT;
use super::convert::{is_undefined, text_of, undefined};
use super::eval::Shared;
use super::filters::is_space;
use crate::secrets::Keyring;

pub(super) fn add(engine: &mut Environment<'static>, shared: &Weak<Shared>) {
    engine.add_function("range", functions::range);
    engine.add_function("dict", functions::dict);
    for (name, always_list) in [("lookup", false), ("query", true), ("q", true)] {
        let shared = shared.clone();
        engine.add_function(
            name,
            move |state: &State<'_, '_>, rest: Rest<ValueOrKwargs>| {
                let shared = shared
                    .upgrade()
                    .ok_or_else(|| wrong("nothing is rendered"))?;
                let args = Args::of(rest)?;
                let made = look_up(&shared, state, &args)?;
                let list = always_list || args.switch(usize::MAX, "wantlist");
                args.end(args.places().len())?;
                if list {
                    return Ok(Value::from(made));
                }
                if let [one] = made.as_slice() {
                    return Ok(one.clone());
                }
                let texts: Result<Vec<String>, Error> = made.iter().map(text_of).collect();
                Ok(Value::from(texts?.join(",")))
            },
        );
    }
}

fn look_up(shared: &Arc<Shared>, state: &State<'_, '_>, args: &Args) -> Result<Vec<Value>, Error> {
    let Some((name, terms)) = args.places().split_first() else {
        return Err(wrong("`lookup` needs the name of a lookup"));
    };
    let name = text_of(name)?;
    if terms.is_empty() {
        return Err(wrong("`lookup` needs something to look up"));
    }
    let mut names = Vec::new();
    for term in terms {
        if is_undefined(term) {
            return Err(undefined());
        }
        let text = term
            .as_str()
            .ok_or_else(|| wrong("what is looked up must be text"))?;
        names.push(text.to_owned());
    }
    match name.strip_prefix("ansible.builtin.").unwrap_or(&name) {
        "env" => environment(shared, &names, args),
        "file" => {
            let (left, right) = (args.switch(usize::MAX, "lstrip"), args.named("rstrip"));
            let right = right.is_none_or(|v| v.is_true());
            names
                .iter()
                .map(|name| {
                    let text = file(shared, name)?;
                    let text = if left {
                        text.trim_start_matches(is_space)
                    } else {
                        &text
                    };
                    let text = if right {
                        text.trim_end_matches(is_space)
                    } else {
                        text
                    };
                    Ok(Value::from(text))
                })
                .collect()
        }
        "vars" => {
            let other = args.named("default");
            names
                .iter()
                .map(|name| {
                    let found = state.lookup(name).filter(|v| !is_undefined(v));
                    found.or_else(|| other.clone()).ok_or_else(undefined)
                })
                .collect()
        }
        other => Err(wrong(format!(
            "the lookup `{other}` is not supported; env, file and vars are"
        ))),
    }
}

fn environment(shared: &Shared, names: &[String], args: &Args) -> Result<Vec<Value>, Error> {
    let other = args.named("default").unwrap_or_else(|| Value::from(""));
    names
        .iter()
        .map(|name| {
            // Ansible takes the first word.
            let name = name.split(is_space).find(|word| !word.is_empty());
            let name = name.ok_or_else(|| wrong("an environment variable must be named"))?;
            Ok((shared.env)(name).map_or_else(|| other.clone(), Value::from))
        })
        .collect()
}

/// A file's text. A relative path is looked for where Ansible looks for the files of a playbook: in `files`
/// beside it, then beside it; without a playbook there is no such place.
fn file(shared: &Shared, name: &str) -> Result<String, Error> {
    let home = || (shared.env)("HOME").map(PathBuf::from);
    let places: Vec<PathBuf> = if let Some(rest) = name.strip_prefix("~/") {
        home().map(|home| home.join(rest)).into_iter().collect()
    } else if Path::new(name).is_absolute() {
        vec![PathBuf::from(name)]
    } else {
        let Some(dir) = shared.playbook_dir() else {
            return Err(wrong(
                "a relative path in `lookup('file', …)` starts from the playbook's folder: name it with --playbook-dir, or make the path absolute",
            ));
        };
        vec![dir.join("files").join(name), dir.join(name)]
    };
    let found = places.iter().find(|path| path.exists());
    let path = found.ok_or_else(|| wrong(format!("the file {name:?} is not there")))?;
    let bytes = bounded(path).map_err(|why| wrong(format!("the file {name:?} {why}")))?;
    if Keyring::is_vault(&bytes) {
        shared.taint();
        let secret = shared
            .keyring
            .open_vault(&bytes)
            .map_err(|e| shared.locked(path, e))?;
        return match secret.expose_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(wrong(format!("the file {name:?} is not text (UTF-8)"))),
        };
    }
    String::from_utf8(bytes).map_err(|_| wrong(format!("the file {name:?} is not text (UTF-8)")))
}

fn bounded(path: &Path) -> Result<Vec<u8>, String> {
    let read = || -> std::io::Result<(bool, Vec<u8>)> {
        if !std::fs::metadata(path)?.is_file() {
            return Ok((false, Vec::new()));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(MAX_TEXT as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok((true, bytes))
    };
    match read() {
        Ok((false, _)) => Err("is not an ordinary file".to_owned()),
        Ok((true, bytes)) if bytes.len() > MAX_TEXT => Err("is larger than 1 MiB".to_owned()),
        Ok((true, bytes)) => Ok(bytes),
        Err(e) => Err(format!("cannot be read: {e}")),
    }
}
