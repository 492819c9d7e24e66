//! Which file uses which.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Crate, Module, SourceFile, absolute};

/// Re-exports of re-exports that are followed.
const MAX_HOPS: usize = 8;

/// The arrows between the files of a crate.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    arrows: BTreeMap<SourceFile, BTreeSet<SourceFile>>,
}

impl Graph {
    pub(crate) fn new(all: &Crate) -> Self {
        let mut arrows: BTreeMap<SourceFile, BTreeSet<SourceFile>> = BTreeMap::new();
        for module in all.modules.values() {
            let targets = arrows.entry(module.file.clone()).or_default();
            // An import of a module is used where a path goes through it; one of an item, at once.
            let imported = module.imports.iter().filter(|import| !import.is_reexport);
            let items = imported.map(|import| import.path.clone());
            let items = items.filter(|path| !all.modules.contains_key(path));
            let inline = module.paths.iter().filter_map(|path| from_root(all, module, path));
            for path in items.chain(inline) {
                if let Some(target) = resolve(all, &path, 0)
                    && target.file != module.file
                {
                    targets.insert(target.file.clone());
                }
            }
        }
        Self { arrows }
    }

    pub(crate) fn arrows(&self) -> impl Iterator<Item = (&SourceFile, &SourceFile)> {
        self.arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
    }

    /// Sets of files each of which reaches all others, of two files at least.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let reach: BTreeMap<&SourceFile, BTreeSet<&SourceFile>> =
            self.arrows.keys().map(|file| (file, self.reachable(file))).collect();
        let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
        for (file, reached) in &reach {
            let back = |other: &&&SourceFile| reach.get(**other).is_some_and(|r| r.contains(file));
            let circle: Vec<String> = reached.iter().filter(back).map(|f| f.to_string()).collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reachable<'a>(&'a self, from: &SourceFile) -> BTreeSet<&'a SourceFile> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&SourceFile> = self.arrows.get(from).into_iter().flatten().collect();
        while let Some(file) = open.pop() {
            if found.insert(file) {
                open.extend(self.arrows.get(file).into_iter().flatten());
            }
        }
        found
    }
}

/// A path of a module's text as from the root of the crate, if it begins with a name that leads there.
fn from_root(all: &Crate, module: &Module, path: &[String]) -> Option<Vec<String>> {
    let first = path.first()?;
    if matches!(first.as_str(), "crate" | "self" | "super") {
        return Some(absolute(path, &module.path));
    }
    let import = module.imports.iter().find(|import| &import.alias == first)?;
    if !all.modules.contains_key(&import.path) {
        // An item, which has its own arrow.
        return None;
    }
    Some(import.path.iter().chain(&path[1..]).cloned().collect())
}

/// The module that defines what a path names: past modules that only re-export it.
fn resolve<'a>(all: &'a Crate, path: &[String], hops: usize) -> Option<&'a Module> {
    let depth = (0..=path.len()).rev().find(|depth| all.modules.contains_key(&path[..*depth]))?;
    let module = &all.modules[&path[..depth]];
    let Some(item) = path.get(depth) else {
        return Some(module);
    };
    // Paths of other crates lead to the root, where no such name is.
    let import = module.imports.iter().find(|i| i.is_reexport && &i.alias == item);
    match import {
        Some(import) if hops < MAX_HOPS && import.path != path[..=depth] => {
            let rest: Vec<String> = import.path.iter().chain(&path[depth + 1..]).cloned().collect();
            resolve(all, &rest, hops + 1).or(Some(module))
        }
        _ => (depth > 0 || path.len() == 1).then_some(module),
    }
}
