//! Names of kernel addresses: the image and its modules from /proc/kallsyms, BPF programs from the
//! kernel's list of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kernel::kallsyms::{self, Symbol};
use crate::kernel::modules::Modules;
use crate::kernel::programs::Programs;
use crate::kernel::table::Table;
use crate::memory;

const PAGE: u64 = 4096;
/// How often to retry a reading during which modules came or went, before the result is used
/// anyway.
const READINGS: usize = 3;
/// Name of an address that has none. The address itself is never written: it would tell every
/// reader of a recording where the kernel is (KASLR).
pub(crate) const UNKNOWN: &str = "[unknown]";

/// What shows the symbols: the kernel hides them from a process without CAP_SYSLOG, unless both
/// kernel.kptr_restrict and kernel.perf_event_paranoid are low, and from every process if
/// kernel.kptr_restrict is 2.
pub(crate) const SHOW_SYMBOLS: &str =
    "run as root, or with CAP_SYSLOG, and with kernel.kptr_restrict below 2";

/// A frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A function of the image or of a module.
    Function(Arc<str>),
    /// A BPF program that is not ours.
    Program(Arc<str>),
    /// An address without a name: `[unknown]`, or `MODULE+?` in a module.
    Nameless(Arc<str>),
}

impl Frame {
    pub(crate) fn name(&self) -> &Arc<str> {
        match self {
            Self::Function(name) | Self::Program(name) | Self::Nameless(name) => name,
        }
    }
}

/// The symbols of the running kernel.
#[derive(Debug)]
pub(crate) struct Symbols {
    /// Functions of the image and of modules.
    table: Table,
    /// End of the kernel image's text: addresses beyond belong to modules and BPF programs.
    image_end: u64,
    modules: Modules,
    programs: Programs,
    /// Names that are in stacks, by their index in the table.
    used: HashMap<usize, Arc<str>>,
    unknown: Arc<str>,
}

impl Symbols {
    /// Reads the symbols. There are none if the kernel hides its addresses ([`SHOW_SYMBOLS`]).
    pub(crate) fn read(programs: Programs) -> Self {
        let mut modules = Modules::read();
        let mut readings = 0;
        loop {
            readings += 1;
            let symbols = Self::from_lines(&modules, |each| kallsyms::read(each));
            // The kernel shows its symbols piece by piece, and skips some if a module is unloaded
            // in between.
            let after = Modules::read();
            if after.is_same(&modules) || readings > READINGS {
                let (table, image_end) = symbols;
                memory::trim();
                return Self::new(table, image_end, modules, programs);
            }
            modules = after;
        }
    }

    fn new(table: Table, image_end: u64, modules: Modules, programs: Programs) -> Self {
        let (used, unknown) = (HashMap::new(), UNKNOWN.into());
        Self { table, image_end, modules, programs, used, unknown }
    }

    /// The functions of a symbol list, and the end of the image's text.
    fn from_lines(
        modules: &Modules,
        read: impl FnOnce(&mut dyn FnMut(Symbol<'_>)),
    ) -> (Table, u64) {
        let mut table = Table::default();
        let (mut image_end, mut image_last) = (0, 0);
        read(&mut |symbol| {
            let Symbol { address, name, module, .. } = symbol;
            if address == 0 {
                return;
            }
            if name == "_etext" {
                image_end = address;
            }
            match module {
                None => image_last = image_last.max(address + 1),
                // Without lengths, and perhaps gone tomorrow: `Programs` knows them.
                Some("bpf") => return,
                Some(module) if modules.is_initial(module, address) => return,
                Some(_) => {}
            }
            // Keep functions only, without the padding before them, which repeats their name.
            if symbol.is_function() && !name.starts_with("__pfx_") {
                table.push(address, without_suffix(name));
            }
        });
        // The image's functions beyond its text are init functions: they are freed, and name
        // nothing.
        let is_beyond = |address| image_end != 0 && address >= image_end && address < image_last;
        table.sort(|address| !is_beyond(address));
        (table, image_end)
    }

    /// Whether the kernel shows addresses at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether the address lies in the kernel image: its name never changes.
    fn is_static(&self, address: u64) -> bool {
        address < self.image_end
    }

    /// Whether the function at the address may change, because it is not in the image.
    pub(crate) fn is_dynamic(&self, address: u64) -> bool {
        !self.is_static(address)
    }

    /// Number of leading frames that are the tracer's own: our program, and the trampoline that
    /// called it if the kernel made it (fentry). `bpf_trace_run*` and other callers in the image
    /// have names.
    pub(crate) fn own_frames(&self, addresses: &[u64]) -> usize {
        let own = addresses.iter().take_while(|at| self.programs.is_own(before(**at))).count();
        let is_made = |at: &u64| {
            let at = before(*at);
            self.is_dynamic(at)
                && self.modules.at(at).is_none()
                && self.programs.name(at).is_none()
                && self.index(at).is_none()
        };
        match addresses.get(own) {
            Some(next) if own > 0 && is_made(next) => own + 1,
            _ => own,
        }
    }

    /// The frame that returns to `address`, from what is known now.
    pub(crate) fn frame(&mut self, address: u64) -> Frame {
        let at = before(address);
        if let Some(index) = self.index(at) {
            let table = &self.table;
            let name = self.used.entry(index).or_insert_with(|| table.name(index).into());
            return Frame::Function(Arc::clone(name));
        }
        if let Some((_, module)) = self.modules.at(at) {
            return Frame::Nameless(format!("{module}+?").into());
        }
        match self.programs.name(at) {
            Some(name) if self.is_dynamic(at) => Frame::Program(name),
            _ => Frame::Nameless(Arc::clone(&self.unknown)),
        }
    }

    /// Index of the function that holds the byte.
    fn index(&self, at: u64) -> Option<usize> {
        let index = self.table.before(at)?;
        self.reaches(index, at).then_some(index)
    }

    /// Whether the function at `index` may extend to `at`, if the next function starts after it.
    /// The kernel does not list the length of functions, and the space after a module's last
    /// function may hold the remains of an unloaded module.
    fn reaches(&self, index: usize, at: u64) -> bool {
        let Some(start) = self.table.start(index) else { return false };
        if self.is_static(at) || self.is_static(start) {
            // A function of the image ends within the image.
            return self.is_static(at) == self.is_static(start);
        }
        let module_of = |address| self.modules.at(address).map(|(start, _)| start);
        let module = module_of(start);
        if module != module_of(at) {
            return false;
        }
        if module.is_none() {
            // Code that the kernel makes, page by page: ftrace's trampolines, slots of kprobes.
            return at - start < PAGE;
        }
        let is_last = || self.table.start(index + 1).and_then(module_of) != module;
        // The text of a module begins on a new page.
        start / PAGE == at / PAGE || at - start < PAGE / 2 || !is_last()
    }

    /// Whether the address is in a loaded module.
    pub(crate) fn is_in_module(&self, address: u64) -> bool {
        self.modules.at(before(address)).is_some()
    }

    /// Name of an address in a module; `None` if it is in no module, or has no name there.
    pub(crate) fn name_in_module(&mut self, address: u64) -> Option<Arc<str>> {
        if !self.is_in_module(address) {
            return None;
        }
        match self.frame(address) {
            Frame::Function(name) => Some(name),
            Frame::Program(_) | Frame::Nameless(_) => None,
        }
    }

    /// Reads the symbols again if modules came or went; returns whether they did.
    pub(crate) fn refresh_modules(&mut self) -> bool {
        let is_changed = !self.modules.is_same(&Modules::read());
        if is_changed {
            let programs = std::mem::replace(&mut self.programs, Programs::new(&[]));
            // Before the reading: two tables would take twice the memory.
            (self.table, self.used) = (Table::default(), HashMap::new());
            *self = Self::read(programs);
        }
        is_changed
    }

    /// Lists the programs again if the frame of `address` may be of a new one. Returns whether the
    /// names of programs may have changed.
    pub(crate) fn refresh_for(&mut self, address: u64) -> bool {
        self.is_dynamic(address)
            && matches!(self.frame(address), Frame::Nameless(_))
            && !self.is_in_module(address)
            && self.programs.refresh()
    }

    /// Lists the programs again if the list is some time old; returns as [`Self::refresh_for`].
    pub(crate) fn refresh_programs(&mut self) -> bool {
        self.programs.refresh_old()
    }
}

/// The byte of a call: a return address follows it, and a call that never returns may be the last
/// instruction of its function. The address of a kprobe's entry is one byte into its function
/// already.
fn before(address: u64) -> u64 {
    address.wrapping_sub(1)
}

/// Drops what compilers append: `.isra.0`, `.constprop.0`, `.part.0`, `.cold`, `.llvm.123`.
fn without_suffix(name: &str) -> &str {
    const SUFFIXES: [&str; 5] = [".isra.", ".constprop.", ".part.", ".cold", ".llvm."];
    let end = SUFFIXES.iter().filter_map(|suffix| name.find(suffix)).min();
    &name[..end.unwrap_or(name.len())]
}

#[cfg(test)]
pub(crate) mod tests {
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
ffffffffa0010000 t bpf_prog_1_neighbour\t[bpf]
";

    pub(crate) fn symbols(text: &str, modules: &str) -> Symbols {
        let modules = Modules::parse(modules);
        let (table, image_end) =
            Symbols::from_lines(&modules, |each| kallsyms::parse(text.as_bytes(), each));
        Symbols::new(table, image_end, modules, Programs::new(&[]))
    }

    fn name(symbols: &mut Symbols, address: u64) -> String {
        symbols.frame(address).name().to_string()
    }

    #[test]
    fn addresses_are_named_by_the_function_before() {
        let symbols = &mut symbols(TEXT, "");
        assert_eq!(name(symbols, 0xffff_ffff_8100_0150), "tcp_close");
        assert_eq!(name(symbols, 0xffff_ffff_8100_0200), "tcp_close", "a return address");
        assert_eq!(name(symbols, 0xffff_ffff_8100_0201), "tcp_abort", "a kprobe's address");
        assert_eq!(name(symbols, 0xffff_ffff_a000_0010), "nf_send_reset");
        assert_eq!(name(symbols, 0x10), "[unknown]");
        assert_eq!(name(symbols, 0xffff_ffff_9000_0000), "[unknown]", "not _einittext");
        assert_eq!(name(symbols, 0xffff_ffff_a001_0010), "[unknown]", "of no program");
        assert_eq!(name(symbols, 0xffff_ffff_a000_1010), "[unknown]", "far behind");
    }

    #[test]
    fn hidden_addresses_are_an_empty_table() {
        let symbols = &mut symbols("0000000000000000 T _text\n", "");
        assert!(symbols.is_empty());
        assert_eq!(name(symbols, 0xffff_ffff_8100_0150), "[unknown]");
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
";
        let symbols = &mut symbols(text, modules);
        let named = [
            (0x0_0900, "nf_reject_fill"),
            (0x0_0e01, "nf_send_reset"),
            (0x0_1200, "nf_send_reset"),
            // An address of an unloaded module between the two: since 6.4 the first one's length
            // also counts parts elsewhere.
            (0x0_1700, "nf_reject_ipv4+?"),
            (0x0_2100, "nft_reject_inet_eval"),
            (0x0_3100, "nft_reject_inet+?"),
            (0x0_7100, "[unknown]"),
        ];
        for (offset, expected) in named {
            assert_eq!(name(symbols, 0xffff_ffff_a000_0000 + offset), expected);
        }
    }

    #[test]
    fn our_program_is_known_without_a_name() {
        let kernel = &mut symbols(TEXT, "");
        let (program, other) = (0xffff_ffff_c000_0000, 0xffff_ffff_c100_0000);
        kernel.programs = Programs::of_one(program..program + 100);
        let [glue, function] = [0xffff_ffff_8100_0150, 0xffff_ffff_8100_0250];
        let count = |addresses: &[u64]| kernel.own_frames(addresses);
        assert_eq!(count(&[program + 50, glue, function]), 1, "a raw tracepoint");
        assert_eq!(count(&[program + 50, program + 9, other, function]), 3, "fentry");
        assert_eq!(count(&[function, program + 50, other]), 0, "a kprobe");
        assert_eq!(count(&[other, function]), 0, "another program");
    }
}
