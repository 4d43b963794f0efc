//! Histories told step by step: what is recorded, what is refused and why, who is in and who out.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod adoption;
mod bounds;
mod damaged;
mod door;
mod door_aums;
mod membership;
mod rules;
mod story;
mod tampering;
mod told;
