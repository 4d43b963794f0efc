//! Real daemons of one group: growing it, using it from every member, losing members, replacing them.

mod anew;
mod failing;
mod growing;
mod harness;
mod leaving;
mod tokens;
