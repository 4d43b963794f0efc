//! Real daemons of one group: growing it, using it from every member, losing members, replacing them.

mod anew;
mod clients;
mod clocks;
mod damage;
mod failing;
mod full;
mod growing;
mod harness;
mod history;
mod leaving;
mod losses;
mod moved;
mod network;
mod partitions;
mod power;
mod relay;
mod renewal;
mod stopped;
mod syncs;
mod tokens;
mod upgrades;
