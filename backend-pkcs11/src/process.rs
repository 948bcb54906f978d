//! What each process has for itself.

use std::sync::OnceLock;

/// The process that something was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        Self(std::process::id())
    }

    /// Whether this is a forked child of it: the threads are in the parent, and locks may
    /// have been held when it forked.
    pub(crate) fn forked(self) -> bool {
        self.0 != std::process::id()
    }
}

/// A value for the whole process, which a forked child does not share: a thread of the parent
/// may hold its lock while the process forks, and is not there in the child to release it.
pub(crate) struct PerProcess<T>(OnceLock<Box<Node<T>>>);

struct Node<T> {
    process: u32,
    value: T,
    /// The child's, the child's child's, and so on.
    next: PerProcess<T>,
}

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// This process's value.
    pub(crate) fn get(&self) -> &T {
        let process = std::process::id();
        let mut at = self;
        loop {
            let node = at.0.get_or_init(|| {
                Box::new(Node {
                    process,
                    value: T::default(),
                    next: Self::new(),
                })
            });
            if node.process == process {
                return &node.value;
            }
            at = &node.next;
        }
    }
}
