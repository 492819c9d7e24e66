//! Sources as text: modules, what they import, and what they re-export.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file, by its path below `src`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SourceFile(pub(crate) String);

impl SourceFile {
    /// The module that the file is: `a/b.rs` and `a/b/mod.rs` are `a::b`; the root is empty.
    fn module(&self) -> Vec<String> {
        let path = self.0.trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        match path {
            "lib" | "main" => Vec::new(),
            path => path.split('/').map(str::to_owned).collect(),
        }
    }

    /// The top folder or file that it lies in; `None` for the root of the crate.
    pub(crate) fn room(&self) -> Option<&str> {
        let top = self.0.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        (!matches!(top, "lib" | "main" | "bin")).then_some(top)
    }
}

impl fmt::Display for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path in the source, and the name that it has there.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) alias: String,
    pub(crate) is_reexport: bool,
}

/// One module.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) file: SourceFile,
    pub(crate) path: Vec<String>,
    pub(crate) imports: Vec<Import>,
    /// Paths outside `use`, as they are written.
    pub(crate) paths: Vec<Vec<String>>,
}

/// The modules of a crate, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    pub(crate) modules: BTreeMap<Vec<String>, Module>,
}

impl Crate {
    pub(crate) fn read(src: &Path) -> Self {
        let mut files = Vec::new();
        walk(src, &mut files);
        assert!(!files.is_empty(), "{} has no sources", src.display());
        let texts: Vec<(String, String)> = files
            .iter()
            .map(|path| {
                let name =
                    path.strip_prefix(src).expect("below src").to_string_lossy().into_owned();
                (name, fs::read_to_string(path).expect("readable"))
            })
            .collect();
        let texts: Vec<_> =
            texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        Self::from_texts(&texts)
    }

    pub(crate) fn from_texts(files: &[(&str, &str)]) -> Self {
        let mut found = Self::default();
        for (name, text) in files {
            // A file of tests may import whatever it tests.
            if name.ends_with("tests.rs") || name.starts_with("bin/") {
                continue;
            }
            let file = SourceFile((*name).to_owned());
            let path = file.module();
            let text = without_tests(&code(text));
            let (imports, rest) = uses(&text, &path);
            let module = Module { file, path: path.clone(), imports, paths: paths(&rest) };
            // The map of the library is main.rs's too.
            found.modules.entry(path).or_insert(module);
        }
        found
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Folders below `src` and how many sources each has, `mod.rs` aside.
pub(crate) fn folders(src: &Path) -> BTreeMap<PathBuf, usize> {
    let mut files = Vec::new();
    walk(src, &mut files);
    let mut counts = BTreeMap::new();
    for path in files.iter().filter(|path| !path.ends_with("mod.rs")) {
        *counts.entry(path.parent().expect("a folder").to_owned()).or_default() += 1;
    }
    counts
}

/// Modules that the `//!` of a library does not name.
pub(crate) fn unmapped(text: &str) -> Vec<String> {
    let map: String = text.lines().filter(|line| line.starts_with("//!")).collect();
    let words: Vec<&str> = map.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let text = without_tests(&code(text));
    let declared = text.lines().filter_map(|line| {
        let line = line.trim();
        let line =
            ["pub ", "pub(crate) "].iter().find_map(|p| line.strip_prefix(p)).unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    declared.filter(|module| !words.contains(module)).map(str::to_owned).collect()
}

/// The text without comments and without what is in quotes.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(end) = raw_string(rest) {
            end
        } else if letter == '"' {
            quoted(rest)
        } else if letter == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            out.push(letter);
            rest = &rest[letter.len_utf8()..];
        } else {
            out.push(' ');
            rest = &rest[skipped..];
        }
    }
    out
}

/// Length of a string literal with escapes.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of a character literal; a lifetime has none.
fn character(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match (letters.next(), letters.next()) {
        (Some((_, '\\')), Some((next, letter))) => {
            let from = next + letter.len_utf8();
            text[from..].find('\'').map_or(0, |at| from + at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// Length of a raw string literal.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    let from = 1 + count + 1;
    Some(text[from..].find(&end).map_or(text.len(), |at| from + at + end.len()))
}

/// The text without what is compiled for tests only.
fn without_tests(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(open), Some(semicolon)) if semicolon < open => semicolon + 1,
            (Some(open), _) => open + block(&rest[open..]),
            (None, Some(semicolon)) => semicolon + 1,
            (None, None) => rest.len(),
        };
        rest = &rest[end..];
    }
    out + rest
}

/// Length of a block in braces.
fn block(text: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// Imports of a module, and its text without them.
fn uses(text: &str, module: &[String]) -> (Vec<Import>, String) {
    let mut imports = Vec::new();
    let mut rest = String::new();
    for statement in text.split_inclusive(';') {
        let at = statement
            .match_indices("use ")
            .map(|(at, _)| at)
            .find(|at| *at == 0 || statement[..*at].ends_with(|c: char| c.is_whitespace()));
        let Some(at) = at else {
            rest.push_str(statement);
            continue;
        };
        let head = statement[..at].trim_end();
        let is_reexport = head.ends_with("pub") || head.ends_with(')') && head.contains("pub(");
        rest.push_str(&statement[..at]);
        let tree = statement[at + 4..].trim_end_matches(';');
        let mut leaves = Vec::new();
        expand(tree, &[], &mut leaves);
        for (path, alias) in leaves {
            imports.push(Import { path: absolute(&path, module), alias, is_reexport });
        }
    }
    // A module's children are names in it.
    for child in declared(text) {
        let path = module.iter().chain([&child]).cloned().collect();
        imports.push(Import { path, alias: child, is_reexport: true });
    }
    (imports, rest)
}

fn declared(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .windows(2)
        .filter(|pair| pair[0] == "mod" && pair[1].ends_with(';'))
        .map(|pair| pair[1].trim_end_matches(';').to_owned())
        .collect()
}

/// The leaves of a `use` tree with their names.
fn expand(tree: &str, prefix: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let head = tree[..open].trim().trim_end_matches("::");
        let mut prefix = prefix.to_vec();
        prefix.extend(head.split("::").map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned));
        let inner = &tree[open + 1..open + block(&tree[open..]) - 1];
        let mut depth = 0;
        let split = inner.split(|letter| {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            letter == ',' && depth == 0
        });
        let branches: Vec<&str> = split.filter(|branch| !branch.trim().is_empty()).collect();
        branches.into_iter().for_each(|branch| expand(branch, &prefix, leaves));
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(p, a)| (p, Some(a)));
    let mut full = prefix.to_vec();
    full.extend(path.split("::").map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()));
    if full.last().is_some_and(|last| last == "self") && full.len() > 1 {
        full.pop();
    }
    let last = full.last().cloned().unwrap_or_default();
    leaves.push((full, alias.map_or(last, |alias| alias.trim().to_owned())));
}

/// A path as from the root of the crate; one of another crate is empty.
pub(crate) fn absolute(path: &[String], module: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate") => {
            base.clear();
            rest = &path[1..];
        }
        Some("self") => rest = &path[1..],
        Some("super") => {
            while rest.first().is_some_and(|part| part == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        _ => {}
    }
    base.extend(rest.iter().cloned());
    base
}

/// Every path `a::b` of the text.
fn paths(text: &str) -> Vec<Vec<String>> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .filter(|word| word.contains("::"))
        .map(|word| {
            word.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|path| path.len() > 1)
        .collect()
}
