//! Real daemons of one group: growing it, using it from every member, losing members, replacing them.

mod anew;
mod clocks;
mod damage;
mod failing;
mod full;
mod growing;
mod harness;
mod leaving;
mod power;
mod stopped;
mod syncs;
mod tokens;
