//! Reads /proc/kallsyms line by line: as one text it takes 5 to 15 MB.

use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::kernel::proc::KALLSYMS;

/// The kernel gives a page at a time.
const BUFFER: usize = 16 * 1024;

/// A line: `ADDRESS KIND NAME [MODULE]`. The address is 0 if the kernel hides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol<'a> {
    pub(super) address: u64,
    pub(super) kind: u8,
    pub(super) name: &'a str,
    /// Also `bpf` and `__builtin__ftrace`, for code that the kernel makes.
    pub(super) module: Option<&'a str>,
}

impl Symbol<'_> {
    pub(super) fn is_function(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W')
    }
}

/// Calls `each` for every symbol of the running kernel.
pub(super) fn read(each: impl FnMut(Symbol<'_>)) {
    if let Ok(file) = File::open(KALLSYMS) {
        parse(BufReader::with_capacity(BUFFER, file), each);
    }
}

/// Calls `each` for every symbol of a text in that format.
pub(super) fn parse(mut text: impl BufRead, mut each: impl FnMut(Symbol<'_>)) {
    let mut line = String::new();
    // A line that cannot be read ends the reading, as does the end.
    while matches!(text.read_line(&mut line), Ok(1..)) {
        if let Some(symbol) = symbol(&line) {
            each(symbol);
        }
        line.clear();
    }
}

fn symbol(line: &str) -> Option<Symbol<'_>> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let kind = *words.next()?.as_bytes().first()?;
    let name = words.next()?;
    let module = words.next().map(|word| word.trim_matches(['[', ']']));
    Some(Symbol { address, kind, name, module })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_module_or_none() {
        let mut found = Vec::new();
        let text = "ffffffff81000000 T _text\nx\n0 t f\t[ext4]\n";
        parse(text.as_bytes(), |symbol| found.push(format!("{symbol:?}")));
        let image =
            Symbol { address: 0xffff_ffff_8100_0000, kind: b'T', name: "_text", module: None };
        let module = Symbol { address: 0, kind: b't', name: "f", module: Some("ext4") };
        assert_eq!(found, [format!("{image:?}"), format!("{module:?}")]);
    }
}
