//! What each process has for itself.

use std::sync::OnceLock;

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
