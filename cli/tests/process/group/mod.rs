//! Real daemons of one group: growing it, using it from every member, losing members, replacing them.

mod anew;
mod clients;
mod failing;
mod growing;
mod harness;
mod history;
mod leaving;
mod losses;
mod network;
mod partitions;
mod relay;
mod tokens;
mod upgrades;
