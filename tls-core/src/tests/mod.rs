//! Two connections joined in memory, with everything that may take time ready or pending.

mod ahead;
mod bounds;
mod faults;
mod hellos;
mod mutate;
mod pair;
mod records;
mod rfc8448;
mod slow;
mod support;
mod suspend;
mod traffic;
mod wiretap;
