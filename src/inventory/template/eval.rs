//! Renders one variable: looks up what it refers to, watches for loops and limits, and remembers whether
//! something secret was looked at.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};

use super::args::wrong;
use super::bounds::{FUEL, MAX_CHAIN, MAX_DEPTH, MAX_RENDERS, MAX_TEMPLATE};
use super::convert::{self, scalar};
use super::fluid::{Fluid, HostScope, HostVars, Missing, Omit};
use super::result::{self, HINT, Printed, template_error, words};
use super::{filters, lookups, methods, syntax};
use crate::inventory::{Env, Inventory, InventoryError, Place, Var, Vars};
use crate::secrets::{KeyError, Keyring};
use crate::yaml::{Mapping, Node, Value as Yaml};

/// Names that are functions unless there is a variable of that name.
pub(super) const FUNCTIONS: [&str; 5] = ["lookup", "query", "q", "range", "dict"];

/// What rendering needs, and the state of the one variable that is being rendered.
pub(super) struct Shared {
    inventory: Mutex<Inventory>,
    pub keyring: Arc<Keyring>,
    pub cwd: PathBuf,
    pub env: Env,
    engine: Environment<'static>,
    hosts: Mutex<HashMap<String, Arc<Vars>>>,
    /// Held while a variable is rendered: `run` belongs to it.
    turn: Mutex<()>,
    run: Mutex<Run>,
}

/// The state of one rendering.
#[derive(Default)]
struct Run {
    /// The templates that are being rendered, outermost first: host and variable with the way into it.
    chain: Vec<(String, String)>,
    renders: usize,
    /// Something that stood encrypted was looked at.
    tainted: bool,
    /// Why the value that the engine was given last cannot be made.
    failure: Option<InventoryError>,
    /// What was looked up last and is not there.
    absent: Option<String>,
    /// Undefined values may be asked for attributes.
    chaining: bool,
    /// … and one of them was used for something else.
    tripped: bool,
    /// What the innermost template has printed.
    printed: Printed,
    known: HashMap<(String, String), Known>,
}

#[derive(Clone)]
enum Known {
    Value(Value, bool),
    Undefined(String),
}

/// Why there is no value.
pub(super) enum Fail {
    /// Something is not defined; a template may have a default for that.
    Undefined(String),
    /// Anything else.
    Error(InventoryError),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(inventory: Inventory, keyring: Arc<Keyring>, cwd: &Path, env: Env) -> Arc<Shared> {
        Arc::new_cyclic(|weak| Shared {
            inventory: Mutex::new(inventory),
            keyring,
            cwd: cwd.to_path_buf(),
            env,
            engine: engine(weak),
            hosts: Mutex::default(),
            turn: Mutex::default(),
            run: Mutex::default(),
        })
    }

    pub fn inventory(&self) -> MutexGuard<'_, Inventory> {
        lock(&self.inventory)
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        lock(&self.run)
    }

    /// A host's variables as written; read once.
    pub fn vars(&self, host: &str) -> Result<Arc<Vars>, Vec<InventoryError>> {
        if let Some(vars) = lock(&self.hosts).get(host) {
            return Ok(vars.clone());
        }
        let vars = Arc::new(self.inventory().vars(host)?);
        lock(&self.hosts).insert(host.to_owned(), vars.clone());
        Ok(vars)
    }

    /// One variable with all that is in it.
    pub fn rendered(
        self: &Arc<Self>,
        host: &str,
        name: &str,
        var: &Var,
    ) -> Result<Option<Var>, InventoryError> {
        let _turn = lock(&self.turn);
        *self.run() = Run::default();
        let node = self.node(host, name, &var.place, &var.node, 0);
        // What was rendered on the way holds the engine's values, which hold this.
        *self.run() = Run::default();
        Ok(node?.map(|node| Var {
            node,
            place: var.place.clone(),
            rule: var.rule.clone(),
        }))
    }

    /// A node with everything in it rendered; keys stay as they are.
    fn node(
        self: &Arc<Self>,
        host: &str,
        path: &str,
        place: &Place,
        node: &Node,
        depth: usize,
    ) -> Result<Option<Node>, InventoryError> {
        let fault = |what: &str| template_error(place.at(node.mark), path, what, None);
        if depth > MAX_DEPTH {
            return Err(fault("lists and mappings are nested too deep"));
        }
        let mut whole = match &node.value {
            Yaml::Sequence(items) if node.tag.is_none() => {
                let mut out = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    out.extend(self.node(host, &path, place, item, depth + 1)?);
                }
                Yaml::Sequence(out)
            }
            Yaml::Mapping(mapping) if node.tag.is_none() => {
                let mut out = Vec::new();
                for (key, value) in mapping.iter() {
                    let path = format!("{path}.{}", key.key_text());
                    let value = self.node(host, &path, place, value, depth + 1)?;
                    out.extend(value.map(|value| (key.clone(), value)));
                }
                Yaml::Mapping(Mapping::new(out))
            }
            Yaml::String(text) if node.tag.is_some() || syntax::is_template(text) => {
                self.run().tainted = node.sealed;
                let made = self.value(host, path, place, node).and_then(|value| {
                    convert::node(&value, node.mark)
                        .map_err(|e| self.fail(&e, path, &place.at(node.mark), node.sealed))
                });
                let made = made.map_err(|fail| match fail {
                    Fail::Error(error) => error,
                    Fail::Undefined(what) => fault(&what),
                })?;
                let tainted = self.run().tainted;
                return Ok(made.map(|node| if tainted { node.seal() } else { node }));
            }
            _ if node.tag.is_some() => {
                return Err(self.tag_error(path, place, node));
            }
            _ => return Ok(Some(node.clone())),
        };
        if let Yaml::Mapping(_) | Yaml::Sequence(_) = whole {
            let mut out = Node::new(std::mem::replace(&mut whole, Yaml::Null), node.mark);
            out.sealed = node.sealed;
            return Ok(Some(out));
        }
        Ok(Some(node.clone()))
    }

    fn tag_error(&self, path: &str, place: &Place, node: &Node) -> InventoryError {
        let tag = node.tag.as_deref().unwrap_or_default();
        template_error(
            place.at(node.mark),
            path,
            &format!("the tag {tag} is not known here"),
            Some("remove it"),
        )
    }

    /// The value of a node: rendered if it is a template, decrypted if it is `!vault`.
    fn value(
        self: &Arc<Self>,
        host: &str,
        path: &str,
        place: &Place,
        node: &Node,
    ) -> Result<Value, Fail> {
        if node.sealed {
            self.run().tainted = true;
        }
        let place_here = place.at(node.mark);
        match (node.tag.as_deref(), &node.value) {
            (Some("!unsafe"), Yaml::String(text)) => Ok(Value::from(text.as_str())),
            (Some("!vault" | "!vault-encrypted"), Yaml::String(text)) => {
                self.run().tainted = true;
                let secret = self.keyring.open_vault(text.as_bytes()).map_err(|source| {
                    Fail::Error(InventoryError::Locked {
                        place: place_here.clone(),
                        source,
                    })
                })?;
                // Never a template, whatever it looks like.
                match secret.expose_str() {
                    Some(text) => Ok(Value::from(text)),
                    None => Err(Fail::Error(template_error(
                        place_here,
                        path,
                        "the decrypted value is not text (UTF-8)",
                        None,
                    ))),
                }
            }
            (Some(_), _) => Err(Fail::Error(self.tag_error(path, place, node))),
            (None, Yaml::String(text)) if syntax::is_template(text) => {
                self.render(host, path, &place_here, text, node.sealed)
            }
            (None, Yaml::Sequence(_) | Yaml::Mapping(_)) => Ok(Value::from_object(Fluid {
                shared: self.clone(),
                host: host.to_owned(),
                path: path.to_owned(),
                place: place.clone(),
                node: node.clone(),
            })),
            (None, _) => Ok(scalar(node)),
        }
    }

    /// A part of a variable, as the engine looks it up. `None`: not defined.
    pub fn part(
        self: &Arc<Self>,
        host: &str,
        path: &str,
        place: &Place,
        node: &Node,
    ) -> Option<Value> {
        match self.value(host, path, place, node) {
            Ok(value) => Some(value),
            Err(Fail::Undefined(what)) => {
                self.run().absent = Some(what);
                None
            }
            Err(Fail::Error(error)) => Some(self.failed(error)),
        }
    }

    /// A value that makes the engine stop, and the reason for whoever asked.
    fn failed(&self, error: InventoryError) -> Value {
        self.run().failure.get_or_insert(error);
        Value::from(wrong("a variable cannot be rendered"))
    }

    /// A file that a lookup could not decrypt.
    pub fn locked(&self, path: &Path, source: KeyError) -> Error {
        let place = Place::File(Arc::from(path.to_string_lossy().as_ref()));
        let error = InventoryError::locked(place, source);
        self.run().failure.get_or_insert(error);
        wrong("a file cannot be decrypted")
    }

    /// A variable by its name, as the engine looks it up. `None`: not defined.
    pub fn variable(self: &Arc<Self>, host: &str, name: &str) -> Option<Value> {
        let key = (host.to_owned(), name.to_owned());
        let known = self.run().known.get(&key).cloned();
        match known {
            Some(Known::Value(value, tainted)) => {
                self.run().tainted |= tainted;
                return Some(value);
            }
            Some(Known::Undefined(what)) => {
                self.run().absent = Some(what);
                return None;
            }
            None => {}
        }
        if let Some(value) = self.magic(host, name) {
            return Some(value);
        }
        let vars = match self.vars(host) {
            Ok(vars) => vars,
            Err(errors) => return errors.into_iter().next().map(|e| self.failed(e)),
        };
        let Some(var) = vars.get(name) else {
            self.run().absent = Some(match name {
                "playbook_dir" => "`playbook_dir` is known only with --playbook-dir".to_owned(),
                _ => format!("`{name}` is not defined"),
            });
            return None;
        };
        let before = std::mem::take(&mut self.run().tainted);
        let made = self.value(host, name, &var.place, &var.node);
        let tainted = std::mem::replace(&mut self.run().tainted, before);
        self.run().tainted |= tainted;
        match made {
            Ok(value) if value.downcast_object_ref::<Omit>().is_some() => {
                let what = format!("`{name}` is `omit`, which has no value that could be used");
                Some(self.failed(template_error(var.place.clone(), name, &what, None)))
            }
            Ok(value) => {
                let kept = Known::Value(value.clone(), tainted);
                self.run().known.insert(key, kept);
                Some(value)
            }
            Err(Fail::Undefined(what)) => {
                let what = format!("`{name}` cannot be rendered: {what}");
                let mut run = self.run();
                run.known.insert(key, Known::Undefined(what.clone()));
                run.absent = Some(what);
                None
            }
            Err(Fail::Error(error)) => Some(self.failed(error)),
        }
    }

    /// Variables that Ansible makes itself; nothing can override them.
    fn magic(self: &Arc<Self>, host: &str, name: &str) -> Option<Value> {
        let texts = |names: Vec<&str>| Value::from_iter(names.into_iter().map(Value::from));
        Some(match name {
            "inventory_hostname" => Value::from(host),
            "inventory_hostname_short" => Value::from(host.split('.').next().unwrap_or(host)),
            "group_names" => texts(self.inventory().group_names(host)),
            "groups" => {
                let inventory = self.inventory();
                let groups = inventory.groups();
                Value::from_pairs(groups.map(|g| (g, texts(inventory.members_of(g)))))
            }
            "hostvars" => Value::from_object(HostVars(self.clone())),
            "omit" => Value::from_object(Omit),
            "inventory_dir" => Value::from(self.inventory().inventory_dir(host)?.to_str()?),
            "inventory_file" => Value::from(self.inventory().inventory_file(host)?.to_str()?),
            "playbook_dir" => Value::from(self.playbook_dir()?.to_str()?),
            _ => return None,
        })
    }

    /// The playbook's folder, absolute.
    pub fn playbook_dir(&self) -> Option<PathBuf> {
        let dir = self.inventory().playbook_dir().map(Path::to_path_buf)?;
        Some(crate::inventory::files::normalise(&self.cwd.join(dir)))
    }

    /// Notes that something was looked up and is not there.
    pub fn absent(self: &Arc<Self>, path: &str) -> Option<Value> {
        self.run().absent = Some(format!("`{path}` is not defined"));
        self.missing()
    }

    /// What stands for something undefined while attributes of it may be asked for.
    pub fn missing(self: &Arc<Self>) -> Option<Value> {
        let chaining = self.run().chaining;
        chaining.then(|| Value::from_object(Missing(self.clone())))
    }

    /// Something undefined was used.
    pub fn trip(&self) {
        self.run().tripped = true;
    }

    /// The result is a secret from here on.
    pub fn taint(&self) {
        self.run().tainted = true;
    }

    /// A value is printed. Lists and mappings are not looked at yet: if nothing else is printed, the value is
    /// the result itself.
    fn print(&self, value: &Value) -> Result<String, Error> {
        let stand_in = self.run().printed.note(value);
        match stand_in {
            Some(text) => Ok(text.to_owned()),
            None => result::printed(value),
        }
    }

    /// Renders a template.
    fn render(
        self: &Arc<Self>,
        host: &str,
        path: &str,
        place: &Place,
        text: &str,
        sealed: bool,
    ) -> Result<Value, Fail> {
        let fault = |what: &str, hint: Option<&str>| {
            Err(Fail::Error(template_error(place.clone(), path, what, hint)))
        };
        if text.len() > MAX_TEMPLATE {
            return fault("the template is longer than 16 KiB", None);
        }
        let frame = (host.to_owned(), path.to_owned());
        {
            let mut run = self.run();
            run.renders += 1;
            if run.renders > MAX_RENDERS {
                drop(run);
                return fault("too many templates refer to each other", None);
            }
            if let Some(from) = run.chain.iter().position(|f| *f == frame) {
                let links = run.chain.iter().skip(from).chain([&frame]);
                let names: Vec<String> = links
                    .map(|(of, name)| match of == host {
                        true => name.clone(),
                        false => format!("{name} of {of}"),
                    })
                    .collect();
                let what = format!(
                    "the variables refer to each other in a loop: {}",
                    names.join(" → ")
                );
                drop(run);
                return fault(&what, None);
            }
            if run.chain.len() >= MAX_CHAIN {
                drop(run);
                return fault("the variables refer to each other too deep", None);
            }
            run.chain.push(frame);
        }
        let result = match syntax::prepare(text) {
            Ok(source) => self.attempts(host, path, place, &source, sealed),
            Err(what) => fault(&format!("{what} not supported in templates"), Some(HINT)),
        };
        self.run().chain.pop();
        let value = result?;
        Ok(match value.as_str() {
            Some(made) => Value::from(result::with_line_ends(text, made)),
            None => value,
        })
    }

    /// First with undefined values that nothing may touch. Only if that is what fails, and nothing in the
    /// template could take such a value for another, with ones whose attributes may be asked for.
    fn attempts(
        self: &Arc<Self>,
        host: &str,
        path: &str,
        place: &Place,
        source: &str,
        sealed: bool,
    ) -> Result<Value, Fail> {
        let first = self.attempt(host, source, false);
        let (error, what) = match first {
            Ok(value) => return Ok(value),
            Err(error) => (self.fail(&error, path, place, sealed), error.kind()),
        };
        if what == ErrorKind::UndefinedError && syntax::may_chain(source) {
            match self.attempt(host, source, true) {
                Ok(value) => return Ok(value),
                Err(second) => {
                    // A reason that has nothing to do with what is undefined (a key is missing).
                    if let Some(failure) = self.run().failure.take() {
                        return Err(Fail::Error(failure));
                    }
                    drop(second);
                }
            }
        }
        Err(error)
    }

    fn attempt(self: &Arc<Self>, host: &str, source: &str, chaining: bool) -> Result<Value, Error> {
        let (outer, was) = {
            let mut run = self.run();
            let outer = std::mem::take(&mut run.printed);
            let was = (run.chaining, run.tripped);
            (run.chaining, run.tripped) = (chaining, false);
            (outer, was)
        };
        let scope = Arc::new(HostScope {
            shared: self.clone(),
            host: host.to_owned(),
            own: true,
        });
        let made = self
            .engine
            .render_named_str("variable", source, Value::from_dyn_object(scope));
        let (printed, tripped, failed) = {
            let mut run = self.run();
            let printed = std::mem::replace(&mut run.printed, outer);
            let tripped = run.tripped;
            (run.chaining, run.tripped) = was;
            (printed, tripped, run.failure.is_some())
        };
        let text = made?;
        if failed {
            return Err(wrong("a variable cannot be rendered"));
        }
        if tripped {
            return Err(convert::undefined());
        }
        let value = printed.result(text)?;
        if convert::is_undefined(&value) {
            return Err(convert::undefined());
        }
        result::check(&value)?;
        Ok(value)
    }

    /// The engine's error in monopg's words. What stood encrypted is in none of them.
    fn fail(&self, error: &Error, path: &str, place: &Place, sealed: bool) -> Fail {
        let mut run = self.run();
        if let Some(failure) = run.failure.take() {
            return Fail::Error(failure);
        }
        if error.kind() == ErrorKind::UndefinedError {
            let what = run.absent.clone();
            return Fail::Undefined(
                what.unwrap_or_else(|| "something in it is not defined".into()),
            );
        }
        let (what, hint) = if sealed || run.tainted {
            let what = "the template cannot be rendered; it holds or uses something encrypted, so more is not shown";
            (what.to_owned(), None)
        } else {
            words(error)
        };
        Fail::Error(template_error(place.clone(), path, &what, hint))
    }
}

fn engine(shared: &Weak<Shared>) -> Environment<'static> {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    if let Ok(config) = SyntaxConfig::builder().trim_blocks(true).build() {
        engine.set_syntax(config);
    }
    let printer = shared.clone();
    engine.set_formatter(move |out, _, value| {
        let shared = printer
            .upgrade()
            .ok_or_else(|| wrong("nothing is rendered"))?;
        let text = shared.print(value)?;
        out.write_str(&text)
            .map_err(|_| wrong("the result is too large"))
    });
    filters::add(&mut engine);
    lookups::add(&mut engine, shared);
    methods::add(&mut engine);
    engine
}
