//! Offline replay and verification of tailnet-lock histories.
