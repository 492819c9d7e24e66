//! Names of kernel addresses, from /proc/kallsyms: the image, its modules and BPF programs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::kernel::proc::{KALLSYMS, MODULES};

/// Maximum age of the table for an address of a BPF program, because programs come and go
/// unnoticed. Reading the table takes some 50 ms, so an address that stays unknown must not cause a
/// reading for each event. On a machine where a reading takes longer, it must not use up all the
/// time.
const REFRESH_AFTER: Duration = Duration::from_secs(1);
const SHARE_OF_TIME: u32 = 20;
/// Maximum number of remembered program addresses: each new one costs a reading.
const MAX_MET: usize = 4096;
const PAGE: u64 = 4096;
/// How often to retry a reading during which modules came or went, before the result is used
/// anyway.
const READINGS: usize = 3;

/// What shows the symbols: the kernel hides them from a process without CAP_SYSLOG, unless both
/// kernel.kptr_restrict and kernel.perf_event_paranoid are low, and from every process if
/// kernel.kptr_restrict is 2.
pub(crate) const SHOW_SYMBOLS: &str =
    "run as root, or with CAP_SYSLOG, and with kernel.kptr_restrict below 2";

/// The symbol table of the running kernel.
#[derive(Debug)]
pub(crate) struct Symbols {
    /// Sorted by address.
    table: Vec<(u64, Arc<str>)>,
    /// End of the kernel image's text: addresses beyond belong to modules and BPF programs.
    image_end: u64,
    read_at: Instant,
    /// How long the reading took.
    took: Duration,
    modules: Modules,
    /// Addresses of programs for which the table was read.
    met: HashSet<u64>,
}

/// The loaded modules.
#[derive(Debug, Default)]
struct Modules {
    /// Names and addresses, as listed when the table was read.
    list: String,
    /// Address range of each module, sorted. Since 6.4 the length includes parts that are
    /// elsewhere.
    ranges: Vec<Range<u64>>,
    named: HashMap<String, Range<u64>>,
}

impl Modules {
    fn read() -> Self {
        Self::parse(&fs::read_to_string(MODULES).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut modules = Self::default();
        for line in text.lines() {
            // Name, length, users, their names, state, address. The users change without modules
            // coming or going, so they are left out of the list.
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [name, length, _, _, _, address, ..] = words[..] else {
                continue;
            };
            modules.list.extend([name, " ", address, "\n"]);
            let start = u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap_or(0);
            if start != 0 {
                let range = start..start + length.parse().unwrap_or(0);
                modules.ranges.push(range.clone());
                modules.named.insert(name.to_owned(), range);
            }
        }
        modules.ranges.sort_by_key(|range| range.start);
        modules
    }

    /// Start of the module that holds the address.
    fn start_of(&self, address: u64) -> Option<u64> {
        let next = self.ranges.partition_point(|range| range.start <= address);
        let range = self.ranges.get(next.checked_sub(1)?)?;
        range.contains(&address).then_some(range.start)
    }

    /// Whether a symbol is outside its module's range: in the init part, which is freed after
    /// loading.
    fn is_initial(&self, module: &str, address: u64) -> bool {
        self.named.get(module).is_some_and(|range| !range.contains(&address))
    }
}

impl Symbols {
    /// Reads the table. It is empty if the kernel hides its addresses ([`SHOW_SYMBOLS`]).
    pub(crate) fn read() -> Self {
        let started = Instant::now();
        let mut modules = Modules::read();
        for _ in 0..READINGS {
            let text = fs::read_to_string(KALLSYMS).unwrap_or_default();
            // The kernel shows its symbols piece by piece, and skips some if a module is unloaded
            // in between.
            let after = Modules::read();
            if after.list == modules.list {
                let symbols = Self::parse(&text, modules);
                return Self { took: started.elapsed(), ..symbols };
            }
            modules = after;
        }
        let text = fs::read_to_string(KALLSYMS).unwrap_or_default();
        Self { took: started.elapsed(), ..Self::parse(&text, modules) }
    }

    fn parse(text: &str, modules: Modules) -> Self {
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
            // Symbols of modules and BPF programs have the module in brackets after the name.
            match words.next() {
                None => image_last = image_last.max(address + 1),
                Some(module) if modules.is_initial(module.trim_matches(['[', ']']), address) => {
                    continue;
                }
                Some(_) => {}
            }
            // Keep functions only, without the padding before them, which repeats their name.
            if matches!(kind, "t" | "T" | "w" | "W") && !name.starts_with("__pfx_") {
                table.push((address, without_suffix(name).into()));
            }
        }
        // The sort is stable: of several names for an address, the kernel's first stays first.
        table.sort_by_key(|(address, _)| *address);
        table.dedup_by_key(|(address, _)| *address);
        // The image's functions beyond its text are init functions: they are freed, and name
        // nothing.
        let beyond = |address: u64| image_end != 0 && address >= image_end && address < image_last;
        table.retain(|(address, _)| !beyond(*address));
        Self {
            table,
            image_end,
            read_at: Instant::now(),
            took: Duration::ZERO,
            modules,
            met: HashSet::new(),
        }
    }

    /// Whether the kernel shows addresses at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether the address lies in the kernel image: its name never changes.
    fn is_static(&self, address: u64) -> bool {
        address < self.image_end
    }

    /// Name of the function that returns to `address`, from the table as it is.
    ///
    /// A return address follows the call, and a call that never returns may be the last instruction
    /// of its function, so the byte before the address is looked up. The address of a kprobe's
    /// entry is one byte into its function already.
    pub(crate) fn name(&self, address: u64) -> Arc<str> {
        let at = address.wrapping_sub(1);
        let next = self.table.partition_point(|(start, _)| *start <= at);
        match next.checked_sub(1) {
            Some(index) if self.reaches(index, at) => Arc::clone(&self.table[index].1),
            _ => format!("{address:#x}").into(),
        }
    }

    /// Whether the function at `index` may extend to `at`, if the next function starts after it.
    /// The kernel does not list the length of functions, and the space after a module's last
    /// function may hold the remains of an unloaded module.
    fn reaches(&self, index: usize, at: u64) -> bool {
        let (start, _) = self.table[index];
        if self.is_static(at) || self.is_static(start) {
            // A function of the image ends within the image.
            return self.is_static(at) == self.is_static(start);
        }
        let module = self.modules.start_of(start);
        if module != self.modules.start_of(at) {
            return false;
        }
        let is_last = || {
            let next = self.table.get(index + 1).and_then(|(next, _)| self.modules.start_of(*next));
            next != module
        };
        // The text of a module begins on a new page.
        module.is_none() || start / PAGE == at / PAGE || at - start < PAGE / 2 || !is_last()
    }

    /// Whether the address is in a loaded module.
    pub(crate) fn is_in_module(&self, address: u64) -> bool {
        self.modules.start_of(address).is_some()
    }

    /// Name of an address in a module; `None` if it is in no module, or has no name there.
    pub(crate) fn name_in_module(&self, address: u64) -> Option<Arc<str>> {
        let name = self.is_in_module(address).then(|| self.name(address))?;
        (!is_nameless(&name)).then_some(name)
    }

    /// Whether the function at the address may change, because it is not in the image.
    pub(crate) fn is_dynamic(&self, address: u64) -> bool {
        !self.is_static(address)
    }

    /// Reads the table again if modules came or went; returns whether they did.
    pub(crate) fn refresh_modules(&mut self) -> bool {
        let changed = self.modules.list != Modules::read().list;
        if changed {
            *self = Self::read();
        }
        changed
    }

    /// Reads the table again if the name of `address` may have changed: it belongs to a BPF
    /// program, and is new or the table is old. Returns whether it did.
    ///
    /// Otherwise a program that is not in the table would get its neighbour's name. A new one is
    /// looked up at once, because it may be gone before the table is due.
    pub(crate) fn refresh_for(&mut self, address: u64) -> bool {
        if !self.is_dynamic(address) || self.modules.start_of(address).is_some() {
            return false;
        }
        if self.met.len() >= MAX_MET {
            self.met.clear();
        }
        let is_new = self.met.insert(address);
        let is_old = self.read_at.elapsed() > REFRESH_AFTER.max(self.took * SHARE_OF_TIME);
        if is_new || is_old {
            let met = std::mem::take(&mut self.met);
            *self = Self { met, ..Self::read() };
        }
        is_new || is_old
    }
}

/// Whether a name is just an address.
pub(crate) fn is_nameless(name: &str) -> bool {
    name.starts_with("0x")
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
        let symbols = Symbols::parse(TEXT, Modules::default());
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
        assert!(Symbols::parse("0000000000000000 T _text\n", Modules::default()).is_empty());
    }

    #[test]
    fn what_is_left_of_a_module_is_not_named_after_its_neighbour() {
        let modules = "nft_reject_inet 16384 1 - Live 0xffffffffa0002000\n\
                       nf_reject_ipv4 16384 2 a,b, Live 0xffffffffa0000000\n";
        let text = "\
ffffffff81000000 T _text
ffffffff81001000 T _etext
ffffffffa0000000 t nf_reject_fill\t[nf_reject_ipv4]
ffffffffa0000e00 t nf_send_reset\t[nf_reject_ipv4]
ffffffffa0002010 t nft_reject_inet_eval\t[nft_reject_inet]
ffffffffa0000800 t nft_reject_inet_module_init\t[nft_reject_inet]
ffffffffa0200000 t bpf_prog_1_f\t[bpf]
";
        let symbols = Symbols::parse(text, Modules::parse(modules));
        let named = [
            (0x0_0900, "nf_reject_fill"),
            (0x0_0e01, "nf_send_reset"),
            (0x0_1200, "nf_send_reset"),
            // An address of an unloaded module between the two: since 6.4 the first one's length
            // also counts parts elsewhere.
            (0x0_1700, "0xffffffffa0001700"),
            (0x0_2100, "nft_reject_inet_eval"),
            (0x0_3100, "0xffffffffa0003100"),
            (0x20_0010, "bpf_prog_1_f"),
        ];
        for (offset, name) in named {
            assert_eq!(&*symbols.name(0xffff_ffff_a000_0000 + offset), name);
        }
    }
}
