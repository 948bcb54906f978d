//! Two connections joined in memory, with everything that may take time ready or pending.

mod pair;
mod support;
mod suspend;
