//! Names of kernel addresses, from /proc/kallsyms: the image, its modules and BPF programs.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::functions::MODULES;

/// Where the kernel shows its symbols.
pub const KALLSYMS: &str = "/proc/kallsyms";

/// How old the table may be when an address is not in it. Modules and BPF programs come and go;
/// reading the table takes some 50 ms, so an address that stays unknown must not cause it
/// for each event.
const REFRESH_AFTER: Duration = Duration::from_secs(1);

/// The symbol table of the running kernel.
#[derive(Debug)]
pub struct Symbols {
    /// Sorted by address.
    table: Vec<(u64, Arc<str>)>,
    /// End of the kernel image's text: what lies beyond belongs to modules and BPF programs.
    image_end: u64,
    read_at: Instant,
    /// Names and addresses of the modules at that time.
    modules: String,
}

impl Symbols {
    /// Reads the table. It is empty where the kernel hides its addresses (kptr_restrict).
    pub fn read() -> Self {
        // Before the symbols: a module that comes in between is then seen as new.
        let modules = modules();
        let text = fs::read_to_string(KALLSYMS).unwrap_or_default();
        Self { modules, ..Self::parse(&text) }
    }

    fn parse(text: &str) -> Self {
        let mut table = Vec::with_capacity(text.len() / 45);
        let mut image_end = 0;
        let mut image_last = 0;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Ok(address @ 1..) = u64::from_str_radix(address, 16) else {
                continue;
            };
            if name == "_etext" {
                image_end = address;
            }
            // Modules and BPF programs have theirs in brackets after the name.
            if words.next().is_none() {
                image_last = image_last.max(address + 1);
            }
            // Functions only, and not the padding before them, which bears their name.
            if matches!(kind, "t" | "T" | "w" | "W") && !name.starts_with("__pfx_") {
                table.push((address, without_suffix(name).into()));
            }
        }
        // The sort is stable: of several names for an address, the kernel's first stays first.
        table.sort_by_key(|(address, _)| *address);
        table.dedup_by_key(|(address, _)| *address);
        // The image's functions beyond its text are those of its start: gone, they name nothing.
        let beyond = |address: u64| image_end != 0 && address >= image_end && address < image_last;
        table.retain(|(address, _)| !beyond(*address));
        Self { table, image_end, read_at: Instant::now(), modules: String::new() }
    }

    /// Whether the kernel shows addresses at all.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether the address lies in the kernel image: its name never changes.
    fn is_static(&self, address: u64) -> bool {
        address < self.image_end
    }

    /// Name of the function that returns to `address`, from the table as it is.
    ///
    /// A return address follows the call, and a call that never returns may be the last
    /// instruction of its function: one byte back is inside for certain. The entry address of
    /// a kprobe is one byte in already.
    pub fn name(&self, address: u64) -> Arc<str> {
        let at = address.wrapping_sub(1);
        match self.table.partition_point(|(start, _)| *start <= at).checked_sub(1) {
            // A function of the image does not reach beyond it.
            Some(index) if self.is_static(at) == self.is_static(self.table[index].0) => {
                Arc::clone(&self.table[index].1)
            }
            _ => format!("{address:#x}").into(),
        }
    }

    /// Reads the table again where `address` may have got another name since: it is of a module
    /// or a BPF program, and modules have come or gone or the table is not fresh. Says whether
    /// it did.
    pub fn refresh_for(&mut self, address: u64) -> bool {
        let stale = !self.is_static(address)
            && (self.read_at.elapsed() > REFRESH_AFTER || self.modules != modules());
        if stale {
            *self = Self::read();
        }
        stale
    }
}

/// Names and addresses of the loaded modules. The list also says how often each is used, which
/// changes without them.
fn modules() -> String {
    let text = fs::read_to_string(MODULES).unwrap_or_default();
    let mut all = String::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (name, address) = (words.next().unwrap_or_default(), words.nth(4).unwrap_or_default());
        all.extend([name, " ", address, "\n"]);
    }
    all
}

/// Drops what compilers append: `.isra.0`, `.constprop.0`, `.part.0`, `.cold`, `.llvm.123`.
fn without_suffix(name: &str) -> &str {
    const SUFFIXES: [&str; 5] = [".isra.", ".constprop.", ".part.", ".cold", ".llvm."];
    let end = SUFFIXES.iter().filter_map(|suffix| name.find(suffix)).min();
    &name[..end.unwrap_or(name.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
ffffffff81000000 T _text
ffffffff81000100 T tcp_close
ffffffff81000100 t tcp_close_alias
ffffffff810001f0 t __pfx_tcp_abort
ffffffff81000200 t tcp_abort.isra.0
ffffffff81000300 D data
ffffffff81001000 T _etext
ffffffff81002000 T _einittext
ffffffffa0000000 t nf_send_reset\t[nf_reject_ipv4]
";

    #[test]
    fn addresses_are_named_by_the_function_before() {
        let symbols = Symbols::parse(TEXT);
        assert_eq!(&*symbols.name(0xffff_ffff_8100_0150), "tcp_close");
        assert_eq!(&*symbols.name(0xffff_ffff_8100_0200), "tcp_close", "a return address");
        assert_eq!(&*symbols.name(0xffff_ffff_8100_0201), "tcp_abort", "a kprobe's address");
        assert_eq!(&*symbols.name(0xffff_ffff_a000_0010), "nf_send_reset");
        assert_eq!(&*symbols.name(0x10), "0x10");
        let program = 0xffff_ffff_9000_0000;
        assert_eq!(&*symbols.name(program), "0xffffffff90000000", "not _einittext");
    }

    #[test]
    fn hidden_addresses_are_an_empty_table() {
        assert!(Symbols::parse("0000000000000000 T _text\n").is_empty());
    }
}
