//! `bench-server serve` and `bench-server load` as processes: against each other, and
//! against curl and openssl. All on the loopback interface.

mod clients;
mod errors;
mod harness;
mod load;
mod stopping;
