//! The names of the tables. Each is owned by one module, which alone reads and writes its rows.

use super::Table;

/// Every table of a ledger, in the order in which a backend creates them.
pub const ALL: &[Table] = &[
    AUMS,
    AUM_NODES,
    AUM_CHILDREN,
    AUM_STATES,
    AUM_KEY_CHANGES,
    CHAINS,
    RECORDS,
    HISTORY,
    REQUESTS,
    ROSTER,
    ROSTER_NAMES,
    ROSTER_NODE_KEYS,
    SIGNERS,
    AUTH_KEYS,
    MEMBERS,
    INVITATIONS,
    EPOCHS,
    ACKNOWLEDGEMENTS,
    REVOCATIONS,
    FINALITY,
    ADOPTIONS,
    MERKLE,
];

/// Chain and AUM hash → canonical bytes of the AUM (`lock::chain`).
pub const AUMS: Table = Table::named("aums");
/// Chain and AUM hash → height, kind, parent, weight, jump pointer, nearest checkpoint
/// (`lock::chain`).
pub const AUM_NODES: Table = Table::named("aum_nodes");
/// Chain, parent hash, order of preference and child hash → nothing (`lock::chain`).
pub const AUM_CHILDREN: Table = Table::named("aum_children");
/// Chain and AUM hash → the authority's state after that AUM, every so often (`lock::chain`).
pub const AUM_STATES: Table = Table::named("aum_states");
/// Chain, hash of key ID, height (highest first) and AUM hash → trusted or not (`lock::chain`).
pub const AUM_KEY_CHANGES: Table = Table::named("aum_key_changes");
/// Chain → oldest and head (`lock::authority`).
pub const CHAINS: Table = Table::named("chains");
/// Record index → record: the history itself, the one table that is not derived (`history`).
pub const RECORDS: Table = Table::named("records");
/// The fold's own scalars (`history::fold`).
pub const HISTORY: Table = Table::named("history");
/// Request ID → record index and digest (`history::fold`).
pub const REQUESTS: Table = Table::named("requests");
/// Node ID → roster entry and its standing (`history::roster`).
pub const ROSTER: Table = Table::named("roster");
/// Node name → node ID (`history::roster`).
pub const ROSTER_NAMES: Table = Table::named("roster_names");
/// Node key → node ID (`history::roster`).
pub const ROSTER_NODE_KEYS: Table = Table::named("roster_node_keys");
/// Authorizing key ID and node ID → nothing: whom a key's removal locks out (`history::roster`).
pub const SIGNERS: Table = Table::named("signers");
/// Auth key ID → hash of its text, terms, uses (`history::auth_keys`).
pub const AUTH_KEYS: Table = Table::named("auth_keys");
/// Member → keys, supported rules, standing; key → member (`history::members`).
pub const MEMBERS: Table = Table::named("members");
/// Invitation key → terms, and who joined by it (`history::invitations`).
pub const INVITATIONS: Table = Table::named("invitations");
/// Epoch → the lock's life in it (`history::lifecycle`).
pub const EPOCHS: Table = Table::named("epochs");
/// Node ID and epoch → what the node has applied of that lock (`history::acknowledgements`).
pub const ACKNOWLEDGEMENTS: Table = Table::named("acknowledgements");
/// Signature hash → revocation that waits for signatures (`history::cosigning`).
pub const REVOCATIONS: Table = Table::named("revocations");
/// Epoch → the final AUM; epoch and key → what the key has signed above it (`history::door`).
pub const FINALITY: Table = Table::named("finality");
/// Epoch → where its lock came from, if it existed elsewhere (`history::adoption`).
pub const ADOPTIONS: Table = Table::named("adoptions");
/// Level and index → node of the Merkle tree over the record hashes (`history::merkle`).
pub const MERKLE: Table = Table::named("merkle");
/// State ID → nothing: the locks that are set aside on a client node (`lock::client`). No ledger
/// has this table; a client node has it and those of `lock::chain`.
pub const CLIENT: Table = Table::named("client");
