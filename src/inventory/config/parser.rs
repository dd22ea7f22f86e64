//! The INI dialect of `ansible.cfg`: Python's `configparser` with `;` as the only inline comment and
//! without interpolation.

use std::collections::HashMap;

/// What stands under one key, and in which line it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub value: String,
    pub line: usize,
}

/// A fault of the file's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub line: usize,
    pub what: String,
}

/// All sections; keys are lower-case.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    sections: HashMap<String, HashMap<String, Entry>>,
}

/// The section whose keys count in every other section that the file has.
const EVERYWHERE: &str = "DEFAULT";

impl Parsed {
    /// The value of a key.
    pub fn get(&self, section: &str, key: &str) -> Option<&Entry> {
        let own = self.sections.get(section)?;
        own.get(key)
            .or_else(|| self.sections.get(EVERYWHERE)?.get(key))
    }
}

/// Reads a whole file. Faults of single lines are collected, as Python does; the others end the reading.
pub(super) fn parse(text: &str) -> Result<Parsed, Vec<Fault>> {
    let mut reader = Reader::default();
    for (index, line) in text.split('\n').enumerate() {
        if let Err(fault) = reader.line(index + 1, line) {
            reader.faults.push(fault);
            return Err(reader.faults);
        }
    }
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    for entry in reader
        .parsed
        .sections
        .values_mut()
        .flat_map(HashMap::values_mut)
    {
        entry.value.truncate(entry.value.trim_end().len());
    }
    Ok(reader.parsed)
}

#[derive(Default)]
struct Reader {
    parsed: Parsed,
    faults: Vec<Fault>,
    section: Option<String>,
    key: Option<String>,
    indent: usize,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), Fault> {
        let code = match comment(line) {
            Some(at) => line.get(..at).unwrap_or_default(),
            None => line,
        };
        let code = code.trim();
        if code.is_empty() {
            // An empty line belongs to the value before it; one with a comment does not.
            if comment(line).is_none()
                && let Some(entry) = self.open()
            {
                entry.value.push('\n');
            }
            return Ok(());
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        if indent > self.indent
            && let Some(entry) = self.open()
        {
            entry.value.push('\n');
            entry.value.push_str(code);
            return Ok(());
        }
        self.indent = indent;
        match header(code) {
            Some(name) => self.header(number, name),
            None => self.option(number, code),
        }
    }

    /// The entry that a further line would continue.
    fn open(&mut self) -> Option<&mut Entry> {
        let section = self.section.as_ref()?;
        let key = self.key.as_ref()?;
        self.parsed.sections.get_mut(section)?.get_mut(key)
    }

    fn header(&mut self, line: usize, name: &str) -> Result<(), Fault> {
        self.key = None;
        self.section = Some(name.to_owned());
        let known = self.parsed.sections.contains_key(name);
        if known && name != EVERYWHERE {
            let what = format!("the section [{name}] stands here a second time");
            return Err(Fault { line, what });
        }
        self.parsed.sections.entry(name.to_owned()).or_default();
        Ok(())
    }

    fn option(&mut self, line: usize, code: &str) -> Result<(), Fault> {
        let Some(section) = self.section.clone() else {
            let what = "a line before the first [section]".to_owned();
            return Err(Fault { line, what });
        };
        let Some((key, value)) = code.split_once(['=', ':']) else {
            // Not shown: it might be a password that a broken line left alone.
            let what = "this line is neither a [section] nor a key with `=` or `:`".to_owned();
            self.faults.push(Fault { line, what });
            return Ok(());
        };
        let key = key.trim_end().to_lowercase();
        if key.is_empty() {
            let what = "a value without a key before it".to_owned();
            self.faults.push(Fault { line, what });
        }
        let entries = self.parsed.sections.entry(section.clone()).or_default();
        if entries.contains_key(&key) {
            let what = format!("`{key}` stands a second time in [{section}]");
            return Err(Fault { line, what });
        }
        let value = value.trim().to_owned();
        entries.insert(key.clone(), Entry { value, line });
        self.key = Some(key);
        Ok(())
    }
}

/// Where a comment begins: at `#` or `;` of an otherwise empty beginning, or at a `;` after a blank.
fn comment(line: &str) -> Option<usize> {
    if line.trim_start().starts_with(['#', ';']) {
        return Some(0);
    }
    let mut before = None;
    line.char_indices().find_map(|(at, c)| {
        let blank = before.is_none_or(char::is_whitespace);
        before = Some(c);
        (c == ';' && blank).then_some(at)
    })
}

fn header(code: &str) -> Option<&str> {
    let inner = code.strip_prefix('[')?;
    let end = inner.rfind(']')?;
    inner.get(..end).filter(|name| !name.is_empty())
}
