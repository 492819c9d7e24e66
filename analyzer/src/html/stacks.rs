//! Kernel stacks for the flame graph.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::batches;
use super::cube::{CubeCells, CubeKey, FoldedKeys, Keys, key_rows};
use super::source::{Source, all_of, count_by};
use super::text::visible;
use crate::error::Error;

const MAX_STACKS: usize = 500;

const MAX_CELLS: usize = 40_000;

/// The kernel walks no deeper than this (`kernel.perf_event_max_stack`); a file may have more.
const MAX_FRAMES: usize = 128;

#[derive(Debug, Default, Serialize)]
pub(super) struct Stacks {
    /// Names of functions.
    frames: Vec<String>,
    /// Stacks as indices into `frames`, root first.
    paths: Vec<Vec<u32>>,
    cells: StackCells,
}

#[derive(Debug, Default, Serialize)]
struct StackCells {
    stack: Vec<u32>,
    #[serde(flatten)]
    cells: CubeCells,
}

pub(super) async fn load(
    source: &Source<'_>,
    keys: &Keys,
    folded: &FoldedKeys,
) -> Result<Stacks, Error> {
    let mut conditions = source.conditions();
    conditions.push("stack is not null".to_owned());
    let mut counted: HashMap<String, BTreeMap<CubeKey, u64>> = HashMap::new();
    for batch in source.collect(&count_by("stack", "stack", &all_of(&conditions))).await? {
        let stacks = batches::texts(&batch, "stack")?;
        for (row, stack) in key_rows(&batch)?.into_iter().zip(stacks) {
            if let (Some(stack), Some(key)) = (stack, keys.find(folded, &row)) {
                *counted.entry(stack).or_default().entry(key).or_default() += row.n;
            }
        }
    }
    let mut ranked: Vec<(u64, String, BTreeMap<CubeKey, u64>)> =
        counted.into_iter().map(|(stack, cells)| (cells.values().sum(), stack, cells)).collect();
    ranked.sort_unstable_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));

    let mut stacks = Stacks::default();
    let mut frames: HashMap<String, u32> = HashMap::new();
    for (_, stack, cells) in ranked.into_iter().take(MAX_STACKS) {
        // Complete stacks only, the most frequent first.
        if stacks.cells.stack.len() + cells.len() > MAX_CELLS {
            break;
        }
        let path = stack
            .split(';')
            .take(MAX_FRAMES)
            .map(|frame| {
                *frames.entry(visible(frame)).or_insert_with_key(|name| {
                    stacks.frames.push(name.clone());
                    u32::try_from(stacks.frames.len() - 1).unwrap_or(u32::MAX)
                })
            })
            .collect();
        let number = u32::try_from(stacks.paths.len()).unwrap_or(u32::MAX);
        stacks.paths.push(path);
        for (key, n) in cells {
            stacks.cells.stack.push(number);
            stacks.cells.cells.push(key, n);
        }
    }
    Ok(stacks)
}
