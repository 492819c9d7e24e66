//! From return addresses to callee, caller and folded stack. Stacks repeat, so each distinct
//! stack is named once.

use std::collections::HashMap;
use std::sync::Arc;

use tcprst_schema::implied::Implied;
use tcprst_schema::row::{Stack, StackSource};

use crate::kernel::symbols::{Frame, Symbols};

/// Maximum number of stacks to remember. On loopback the sender's whole call chain is below the
/// reset, so a busy host has some thousand stacks.
const MAX_STACKS: usize = 16 * 1024;

/// Names stacks and remembers them.
#[derive(Debug)]
pub(crate) struct Stacks {
    symbols: Symbols,
    known: Known,
    /// Names of addresses in modules, kept for the time after the modules are unloaded.
    gone: HashMap<u64, Arc<str>>,
    none: Arc<Stack>,
    implied: HashMap<(&'static str, bool, bool), Arc<Stack>>,
    tables_read: u64,
}

/// Stacks in two generations: when the younger one is full, the older one is forgotten, and with it
/// only stacks that were not met for that long.
#[derive(Debug, Default)]
struct Known {
    young: HashMap<Box<[u64]>, Entry>,
    old: HashMap<Box<[u64]>, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    stack: Arc<Stack>,
    /// Whether a BPF program other than ours is in it: programs come and go unnoticed.
    has_programs: bool,
}

impl Known {
    fn get(&mut self, addresses: &[u64]) -> Option<&Entry> {
        if !self.old.is_empty()
            && !self.young.contains_key(addresses)
            && let Some((addresses, entry)) = self.old.remove_entry(addresses)
        {
            self.insert(addresses, entry);
        }
        self.young.get(addresses)
    }

    fn insert(&mut self, addresses: Box<[u64]>, entry: Entry) {
        if self.young.len() >= MAX_STACKS / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(addresses, entry);
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    fn forget_programs(&mut self) {
        for generation in [&mut self.young, &mut self.old] {
            generation.retain(|_, entry| !entry.has_programs);
        }
    }
}

impl Stacks {
    pub(crate) fn new(symbols: Symbols) -> Self {
        Self {
            symbols,
            known: Known::default(),
            gone: HashMap::new(),
            none: Arc::default(),
            implied: HashMap::new(),
            tables_read: 0,
        }
    }

    /// Names a stack, leaf first; an address of 0 ends it.
    pub(crate) fn name(&mut self, addresses: &[u64]) -> Arc<Stack> {
        let end = addresses.iter().position(|a| *a == 0).unwrap_or(addresses.len());
        let addresses = &addresses[..end];
        if addresses.is_empty() {
            return Arc::clone(&self.none);
        }
        if let Some(entry) = self.known.get(addresses) {
            if !entry.has_programs || !self.symbols.refresh_programs() {
                return Arc::clone(&entry.stack);
            }
            self.known.forget_programs();
        }
        let frames = self.resolve(addresses);
        let has_programs = frames.iter().any(|frame| matches!(frame, Frame::Program(_)));
        let stack = Arc::new(fold(&frames));
        self.known.insert(addresses.into(), Entry { stack: Arc::clone(&stack), has_programs });
        stack
    }

    /// Whether a BPF program other than ours is in a stack that was named just now.
    pub(crate) fn has_programs(&self, addresses: &[u64]) -> bool {
        self.known.young.get(addresses).is_some_and(|entry| entry.has_programs)
    }

    /// How often the kernel's tables were read again: an address may have another name since the
    /// number was smaller.
    pub(crate) fn tables_read(&self) -> u64 {
        self.tables_read
    }

    /// The stack that a reason implies, in a segment of that family, of a task about to end.
    pub(crate) fn implied(
        &mut self,
        implied: &'static Implied,
        is_v6: bool,
        is_exiting: bool,
    ) -> Arc<Stack> {
        let key = (implied.reason, is_v6, is_exiting);
        let stack = self.implied.entry(key).or_insert_with(|| {
            let frames = implied.frames(is_v6, is_exiting).map(Arc::from).collect();
            Arc::new(Stack { source: StackSource::Implied, ..stack_of(frames) })
        });
        Arc::clone(stack)
    }

    /// The frames below the tracer's own.
    fn resolve(&mut self, addresses: &[u64]) -> Vec<Frame> {
        let addresses = &addresses[self.symbols.own_frames(addresses)..];
        let mut before: Vec<Option<Arc<str>>> = Vec::new();
        if addresses.iter().any(|address| self.symbols.is_dynamic(*address)) {
            before.extend(addresses.iter().map(|address| self.symbols.name_in_module(*address)));
            // Before naming: an address in a new module would get the name of its neighbour.
            if self.symbols.refresh_modules() {
                self.known.clear();
                self.tables_read += 1;
            }
        }
        let mut frames = Vec::with_capacity(addresses.len());
        for (place, address) in addresses.iter().enumerate() {
            let before = before.get(place).cloned().flatten();
            if let Some(name) = self.name_in_module(*address, before) {
                frames.push(Frame::Function(name));
                continue;
            }
            if self.symbols.refresh_for(*address) {
                self.known.forget_programs();
                self.tables_read += 1;
            }
            frames.push(self.symbols.frame(*address));
        }
        frames
    }

    /// The name of an address in a module, also of a module that was unloaded since: its last
    /// resets may arrive after that.
    fn name_in_module(&mut self, address: u64, before: Option<Arc<str>>) -> Option<Arc<str>> {
        let name = match self.symbols.name_in_module(address) {
            Some(name) => name,
            None if self.symbols.is_in_module(address) => return None,
            None => before.or_else(|| self.gone.get(&address).cloned())?,
        };
        if self.gone.len() >= MAX_STACKS {
            self.gone.clear();
        }
        self.gone.insert(address, Arc::clone(&name));
        Some(name)
    }
}

/// Whether a frame may belong to the tracer itself. Only the leading frames do: in a stack of
/// `bpf_sock_destroy`, a BPF program in the middle is the caller.
fn is_tracer(frame: &Frame) -> bool {
    match frame {
        // The kernel tells our programs by their descriptors. Where it does not, they have no name,
        // but their callers have one.
        Frame::Program(_) | Frame::Nameless(_) => true,
        Frame::Function(name) => is_glue(name),
    }
}

/// Whether a function is one of those that call our program.
fn is_glue(name: &str) -> bool {
    ["bpf_trace_run", "__traceiter_", "__bpf_trace_"].iter().any(|prefix| name.starts_with(prefix))
}

/// A kprobe has no glue: the stack begins with the function, which has no name or a wrong one if its
/// module was unloaded.
fn fold(frames: &[Frame]) -> Stack {
    let leading = frames.iter().take_while(|frame| is_tracer(frame)).count();
    let glue = frames[..leading].iter().rposition(|frame| is_glue(frame.name()));
    let ours = glue.map_or(0, |place| place + 1);
    stack_of(frames[ours..].iter().map(|frame| frame.name().clone()).collect())
}

/// The stack of these frames, callee first.
fn stack_of(frames: Vec<Arc<str>>) -> Stack {
    let mut folded = String::new();
    for frame in frames.iter().rev() {
        if !folded.is_empty() {
            folded.push(';');
        }
        folded.push_str(frame);
    }
    Stack {
        callee: frames.first().cloned(),
        caller: frames.get(1).cloned(),
        folded: (!folded.is_empty()).then(|| folded.into()),
        frames,
        source: StackSource::Walked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::symbols::tests::symbols;

    fn frame(name: &str) -> Frame {
        match name {
            "[unknown]" => Frame::Nameless(name.into()),
            name if name.starts_with("bpf_prog_") => Frame::Program(name.into()),
            name => Frame::Function(name.into()),
        }
    }

    fn folded(names: &[&str]) -> Stack {
        fold(&names.iter().map(|name| frame(name)).collect::<Vec<_>>())
    }

    #[test]
    fn only_the_leading_frames_of_the_tracer_go() {
        let stack = folded(&[
            "bpf_prog_1_tcp_send_reset",
            "bpf_trace_run3",
            "tcp_send_active_reset",
            "tcp_abort",
            "bpf_prog_2_destroyer",
            "bpf_iter_run_prog",
        ]);
        assert_eq!(stack.callee.as_deref(), Some("tcp_send_active_reset"));
        assert_eq!(stack.caller.as_deref(), Some("tcp_abort"));
        assert_eq!(
            stack.folded.as_deref(),
            Some("bpf_iter_run_prog;bpf_prog_2_destroyer;tcp_abort;tcp_send_active_reset")
        );
    }

    #[test]
    fn our_program_may_have_no_name() {
        let stack = folded(&["[unknown]", "bpf_trace_run3", "tcp_send_active_reset"]);
        assert_eq!(stack.callee.as_deref(), Some("tcp_send_active_reset"));
        let gone = folded(&["[unknown]", "nf_hook_slow"]);
        assert_eq!(gone.callee.as_deref(), Some("[unknown]"));
        let taken = folded(&["bpf_prog_1", "nf_hook_slow"]);
        assert_eq!(taken.callee.as_deref(), Some("bpf_prog_1"), "a kprobe has no glue");
        let hidden = folded(&["[unknown]", "[unknown]"]);
        assert_eq!(hidden.folded.as_deref(), Some("[unknown];[unknown]"));
    }

    #[test]
    fn an_empty_stack_has_no_names() {
        assert_eq!(folded(&["bpf_prog_1", "bpf_trace_run1"]), Stack::default());
    }

    #[test]
    fn no_address_is_written() {
        let mut stacks = Stacks::new(symbols("ffffffff81000000 T _etext\n", ""));
        let stack = stacks.name(&[0xffff_ffff_8100_1234, 0xffff_ffff_c000_4321, 0, 7]);
        assert_eq!(stack.folded.as_deref(), Some("[unknown];[unknown]"));
        assert_eq!(stack.callee.as_deref(), Some("[unknown]"));
    }

    #[test]
    fn stacks_in_use_stay_when_others_are_forgotten() {
        let mut known = Known::default();
        let entry = || Entry { stack: Arc::default(), has_programs: false };
        known.insert(Box::new([1]), entry());
        known.insert(Box::new([2]), entry());
        for number in 0..2 * MAX_STACKS as u64 {
            known.insert(Box::new([1000 + number]), entry());
            assert!(known.get(&[1]).is_some(), "met all the time");
            assert!(known.young.len() + known.old.len() <= MAX_STACKS + 1);
        }
        assert!(known.get(&[2]).is_none(), "never met");
    }
}
