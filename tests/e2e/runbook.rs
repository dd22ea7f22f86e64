//! The runbook as a test reads it: sections with blocks of shell commands, and what happens to the node in between.

/// A heading with what stands below it.
pub struct Section {
    /// The heading, with that above it for a third-level one.
    pub title: String,
    /// In order.
    pub parts: Vec<Part>,
}

/// What is done.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// What somebody or something does to the node; the name of a provocation.
    Provoke(String),
    /// The commands of one block, and the exit code of the one that ends it (`# exit 43` stands on its first line).
    Block {
        /// One shell script.
        commands: String,
        /// What a shell that ends at the first failure must end with.
        exit: i32,
    },
}

/// Reads a document of Markdown: fenced `sh` blocks and `<!-- provoke: … -->` comments.
pub fn sections(document: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line
            .strip_prefix("## ")
            .or_else(|| line.strip_prefix("### "))
        {
            sections.push(Section {
                title: title.to_owned(),
                parts: Vec::new(),
            });
            continue;
        }
        let part = if let Some(name) = line.strip_prefix("<!-- provoke: ") {
            Part::Provoke(name.trim_end_matches(" -->").to_owned())
        } else if line == "```sh" {
            let block: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
            let exit = block
                .first()
                .and_then(|l| l.strip_prefix("# exit "))
                .and_then(|code| code.parse().ok())
                .unwrap_or(0);
            Part::Block {
                commands: block.join("\n"),
                exit,
            }
        } else {
            continue;
        };
        if let Some(section) = sections.last_mut() {
            section.parts.push(part);
        }
    }
    sections.retain(|s| !s.parts.is_empty());
    sections
}
