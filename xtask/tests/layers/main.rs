//! The layers of each crate are its folders: a folder uses its own modules and those of lower layers.
//!
//! The tables below are the map of ARCHITECTURE.md; the tests read the sources and compare.

mod graph;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use graph::Graph;
use source::Crate;

/// Most files that may form a circle of imports.
const MAX_CIRCLE: usize = 3;

/// Most files in one folder of sources, `mod.rs` aside.
const MAX_FILES: usize = 15;

/// Our crates, and those of them that each may depend on.
const CRATES: &[(&str, &[&str])] = &[
    ("schema", &[]),
    ("ebpf", &["schema"]),
    ("recorder", &["schema"]),
    ("analyzer", &["schema"]),
    ("scenarios", &["schema"]),
    ("sample", &["record", "schema"]),
    ("xtask", &["scenarios", "schema"]),
];

/// A crate with layers, the highest first. A module uses lower layers only; modules of one layer do
/// not use each other, except in the lowest.
struct Layered {
    src: &'static str,
    layers: &'static [&'static [&'static str]],
}

const LAYERED: &[Layered] = &[
    Layered {
        src: "recorder/src",
        layers: &[
            &["app"],
            &["audit", "store"],
            &["owner", "event"],
            &["kernel"],
            &["error", "host", "clock", "stderr", "hash", "memory", "wake"],
        ],
    },
    Layered {
        src: "analyzer/src",
        layers: &[
            &["app"],
            &["shell"],
            &["commands"],
            &["html", "compact"],
            &["reports"],
            &["query"],
            &["recording", "output"],
            &["functions"],
            &["error", "outcome", "window", "nearest"],
        ],
    },
    Layered {
        src: "scenarios/src",
        layers: &[
            &["containers"],
            &["runtimes", "judge"],
            &["play"],
            &["table"],
            &["cause"],
            &["stage"],
            &["scene"],
            &["task", "deadline"],
        ],
    },
];

/// Crates without layers: the rules on circles, maps and folders hold there too.
const FLAT: &[&str] = &["schema/src", "sample/src", "xtask/src", "ebpf/src"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root of the checkout").to_owned()
}

fn every_src() -> impl Iterator<Item = &'static str> {
    LAYERED.iter().map(|layered| layered.src).chain(FLAT.iter().copied())
}

/// The arrows that break the order of the layers.
fn upward(graph: &Graph, layers: &[&[&str]]) -> Vec<String> {
    let layer = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    let last = layers.len() - 1;
    let mut found = Vec::new();
    for (from, to) in graph.arrows() {
        let (Some(above), Some(below)) = (from.room(), to.room()) else {
            // lib.rs and main.rs are the roof.
            if to.room().is_none() {
                found.push(format!("{from} uses {to}: the root of the crate is above every layer"));
            }
            continue;
        };
        if above == below {
            continue;
        }
        match (layer(above), layer(below)) {
            (Some(a), Some(b)) if a < b || (a == b && a == last) => {}
            (Some(a), Some(b)) if a == b => {
                found.push(format!("{from} uses {to} in its own layer"))
            }
            (Some(_), Some(_)) => {
                found.push(format!("{from} uses {to}, which is in a higher layer"))
            }
            (None, _) => found.push(format!("{above} is in no layer")),
            (_, None) => found.push(format!("{below} is in no layer")),
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_folder_uses_its_own_and_lower_layers() {
    let mut found = Vec::new();
    for layered in LAYERED {
        let graph = Graph::new(&Crate::read(&root().join(layered.src)));
        let here = upward(&graph, layered.layers);
        found.extend(here.iter().map(|arrow| format!("{}: {arrow}", layered.src)));
    }
    assert!(found.is_empty(), "{} arrows:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_crate_depends_on_lower_crates_only() {
    for (name, allowed) in CRATES {
        let manifest =
            fs::read_to_string(root().join(name).join("Cargo.toml")).expect("a manifest");
        let section = manifest.split("\n[").find(|part| part.starts_with("dependencies]"));
        let found = section.unwrap_or_default().lines().filter_map(|line| {
            let (dependency, _) = line.strip_prefix("tcprst-")?.split_once(' ')?;
            Some(dependency)
        });
        let wrong: Vec<&str> = found.filter(|dependency| !allowed.contains(dependency)).collect();
        assert!(wrong.is_empty(), "{name} depends on {wrong:?}");
    }
}

#[test]
fn no_circle_of_imports_is_larger_than_three_files() {
    let mut found = Vec::new();
    for src in every_src() {
        let mut circles = Graph::new(&Crate::read(&root().join(src))).circles();
        circles.retain(|circle| circle.len() > MAX_CIRCLE);
        found.extend(circles.iter().map(|circle| format!("{src}: {}", circle.join(" "))));
    }
    assert!(found.is_empty(), "circles of imports:\n{}", found.join("\n"));
}

#[test]
fn each_module_of_a_library_is_named_in_its_map() {
    let mut found = Vec::new();
    for src in every_src() {
        let read = |name: &str| fs::read_to_string(root().join(src).join(name));
        let Ok(text) = read("lib.rs") else {
            // A program alone has a list of commands in place of a map.
            read("main.rs").expect("lib.rs or main.rs");
            continue;
        };
        let missing = source::unmapped(&text);
        found.extend(missing.iter().map(|module| format!("{src}/lib.rs: {module}")));
    }
    assert!(found.is_empty(), "modules that the //! does not name:\n{}", found.join("\n"));
}

#[test]
fn no_folder_of_sources_is_crowded() {
    let mut found = Vec::new();
    for src in every_src() {
        let folders = source::folders(&root().join(src));
        let crowded = folders.iter().filter(|(_, files)| **files > MAX_FILES);
        found.extend(crowded.map(|(folder, files)| format!("{}: {files}", folder.display())));
    }
    assert!(found.is_empty(), "folders with more than {MAX_FILES} files:\n{}", found.join("\n"));
}

/// The rules find a violation that is put in by hand.
mod violations {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        Graph::new(&Crate::from_texts(files))
    }

    const LAYERS: &[&[&str]] = &[&["app"], &["store", "audit"], &["error", "clock"]];

    #[test]
    fn an_arrow_up_and_one_in_the_same_layer() {
        let found = upward(
            &graph(&[
                ("app/mod.rs", "use crate::store::Store; pub(crate) struct App;"),
                ("store/mod.rs", "mod seal; pub(crate) use seal::Seal; pub(crate) struct Store;"),
                ("store/seal.rs", "use crate::{app::App, error::{Error}}; pub(crate) struct Seal;"),
                ("audit/mod.rs", "fn f() { crate::store::Seal; }"),
                ("error.rs", "use crate::clock::Clock;"),
                ("clock.rs", "pub(crate) struct Clock;"),
            ]),
            LAYERS,
        );
        assert_eq!(
            found,
            [
                "audit/mod.rs uses store/seal.rs in its own layer",
                "store/seal.rs uses app/mod.rs, which is in a higher layer",
            ]
        );
    }

    #[test]
    fn a_path_through_an_imported_module_counts_and_a_test_does_not() {
        let found = upward(
            &graph(&[
                ("app/mod.rs", "pub(crate) mod run;"),
                ("app/run.rs", "pub(crate) fn run() {}"),
                ("store.rs", "use crate::app; fn f() { app::run::run(); } // crate::audit::X"),
                ("audit.rs", "#[cfg(test)] mod tests { use crate::app::run::run; }"),
            ]),
            LAYERS,
        );
        assert_eq!(found, ["store.rs uses app/run.rs, which is in a higher layer"]);
    }

    #[test]
    fn a_circle_of_four_files() {
        let circles = graph(&[
            ("a.rs", "use crate::b::B; pub(crate) struct A;"),
            ("b.rs", "use super::c::C; pub(crate) struct B;"),
            ("c.rs", "use crate::d::{self, D}; pub(crate) struct C;"),
            ("d.rs", "fn f() { crate::a::A; \"crate::e::E\"; } pub(crate) struct D;"),
            ("e.rs", "use crate::a::A;"),
        ])
        .circles();
        assert_eq!(circles, [["a.rs", "b.rs", "c.rs", "d.rs"]]);
    }

    #[test]
    fn a_module_that_the_map_leaves_out() {
        let text = "//! `store` writes.\n\nmod store;\npub mod audit;\n#[cfg(test)]\nmod tests;\n";
        assert_eq!(source::unmapped(text), ["audit"]);
    }
}
