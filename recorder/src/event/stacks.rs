//! From return addresses to callee, caller and folded stack. Stacks repeat, so each distinct
//! stack is named once.

use std::collections::HashMap;
use std::sync::Arc;

use tcprst_schema::row::Stack;

use crate::kernel::symbols::{Symbols, is_nameless};

/// Maximum number of stacks to remember. On loopback the sender's whole call chain is below the
/// reset, so a busy host has some thousand stacks. A full table is cleared.
const MAX_STACKS: usize = 16 * 1024;

/// Names stacks and remembers them.
#[derive(Debug)]
pub(crate) struct Stacks {
    symbols: Symbols,
    known: HashMap<Vec<u64>, Arc<Stack>>,
    /// Names of addresses in modules, kept for the time after the modules are unloaded.
    gone: HashMap<u64, Arc<str>>,
    none: Arc<Stack>,
    tables_read: u64,
}

impl Stacks {
    pub(crate) fn new(symbols: Symbols) -> Self {
        Self {
            symbols,
            known: HashMap::new(),
            gone: HashMap::new(),
            none: Arc::default(),
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
        if let Some(stack) = self.known.get(addresses) {
            return Arc::clone(stack);
        }
        let names = self.resolve(addresses);
        let stack = Arc::new(fold(names));
        if self.known.len() >= MAX_STACKS {
            self.known.clear();
        }
        self.known.insert(addresses.to_vec(), Arc::clone(&stack));
        stack
    }

    /// How often the kernel's tables were read again: an address may have another name since the
    /// number was smaller.
    pub(crate) fn tables_read(&self) -> u64 {
        self.tables_read
    }

    fn forget(&mut self) {
        self.known.clear();
        self.tables_read += 1;
    }

    fn resolve(&mut self, addresses: &[u64]) -> Vec<Arc<str>> {
        let mut module_names: Vec<Option<Arc<str>>> = Vec::new();
        if addresses.iter().any(|address| self.symbols.is_dynamic(*address)) {
            module_names
                .extend(addresses.iter().map(|address| self.symbols.name_in_module(*address)));
            // Before naming: an address in a new module would get the name of its neighbour.
            if self.symbols.refresh_modules() {
                self.forget();
            }
        }
        let mut leading = true;
        let mut names = Vec::with_capacity(addresses.len());
        for (place, address) in addresses.iter().enumerate() {
            let before = module_names.get(place).cloned().flatten();
            if let Some(name) = self.name_in_module(*address, before) {
                leading = false;
                names.push(name);
                continue;
            }
            let mut name = self.symbols.name(*address);
            // Our own program is on top of every stack and is not a reason to read the table again.
            leading &= is_tracer(&name);
            if !leading && self.symbols.refresh_for(*address) {
                self.forget();
                name = self.symbols.name(*address);
            }
            names.push(name);
        }
        names
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
fn is_tracer(name: &str) -> bool {
    name.starts_with("bpf_prog_") || is_glue(name)
}

/// Whether a frame is one of those that call our program.
fn is_glue(name: &str) -> bool {
    ["bpf_trace_run", "__traceiter_", "bpf_trampoline_", "__bpf_trace_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn fold(names: Vec<Arc<str>>) -> Stack {
    // With net.core.bpf_jit_kallsyms = 0 our own program has no name, but its callers have. A
    // kprobe has no such callers: the stack begins with the function, which has no name or a
    // wrong one if its module was unloaded.
    let is_ours = |name: &Arc<str>| is_tracer(name) || is_nameless(name);
    let leading = names.iter().take_while(|name| is_ours(name)).count();
    let glue = names[..leading].iter().rposition(|name| is_glue(name));
    let ours = glue.map_or(0, |place| place + 1);
    let frames: Vec<Arc<str>> = names.into_iter().skip(ours).collect();
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(names: &[&str]) -> Stack {
        fold(names.iter().map(|name| Arc::from(*name)).collect())
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
        let stack = folded(&["0xffffffffc0001000", "bpf_trace_run3", "tcp_send_active_reset"]);
        assert_eq!(stack.callee.as_deref(), Some("tcp_send_active_reset"));
        let gone = folded(&["0xffffffffc0001001", "nf_hook_slow"]);
        assert_eq!(gone.callee.as_deref(), Some("0xffffffffc0001001"));
        let taken = folded(&["bpf_prog_1", "nf_hook_slow"]);
        assert_eq!(taken.callee.as_deref(), Some("bpf_prog_1"), "a kprobe has no glue");
        let hidden = folded(&["0xffffffffc0001000", "0xffffffff81000100"]);
        assert_eq!(hidden.folded.as_deref(), Some("0xffffffff81000100;0xffffffffc0001000"));
    }

    #[test]
    fn an_empty_stack_has_no_names() {
        assert_eq!(folded(&["bpf_prog_1", "bpf_trace_run1"]), Stack::default());
    }
}
