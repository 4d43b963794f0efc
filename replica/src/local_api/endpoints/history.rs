//! What is on record.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::{Response, StatusCode};
use ledger::Fault;
use ledger::formats::tlog::{Tile, TileKind, entry_bundle};
use ledger::history::lifecycle::{self, Lifecycle};
use ledger::history::{Epoch, members, records, requests};
use ledger::lock::{Authority, ChainId};
use tokio::sync::mpsc;

use super::{json, limit};
use crate::daemon::Escrow;
use crate::local_api::answers;
use crate::local_api::api::Api;
use crate::local_api::bodies::{EpochBody, Identity, RecordLine, RequestBody, to_json};
use crate::local_api::call::Call;
use crate::local_api::http::{self, Body};
use crate::local_api::problem::Problem;
use crate::local_api::record_line::disablements;
use crate::local_api::routes::{decode, query};
use crate::node::View;
use crate::operations::checkpoint;
use crate::operations::enrol::own_node;

/// Records in one answer, at most.
const PAGE_RECORDS: u64 = 1000;
/// Bytes of records after which an answer ends.
const PAGE_BYTES: usize = 4 << 20;
/// Bytes of a log that are made before they are sent.
const PIECE_BYTES: usize = 64 << 10;

/// What there is, or the answer that there is no such thing yet.
fn found(content: Option<Vec<u8>>) -> Result<Vec<u8>, Problem> {
    content.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "there are not so many records".to_owned())
    })
}

impl Api {
    pub(super) async fn identity(&self) -> Result<Response<Body>, Problem> {
        let id = self.node.replica();
        let (cluster, incarnation) = (self.node.cluster(), self.node.incarnation());
        let escrow = self.escrow.as_ref().map(Escrow::describe);
        self.look(move |ground| {
            let member = members::member(ground.rows, id)?
                .ok_or_else(|| Fault::new(format!("replica {id} is not on record")))?;
            let own = own_node(ground, id)?;
            let on = matches!(ground.fold.lifecycle(), Lifecycle::On(_));
            Ok(json(&Identity {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                cluster_id: cluster.to_string(),
                incarnation,
                replica_id: id.to_string(),
                node_id: own.as_ref().map_or(0, |node| node.id.0),
                name: member.details.name.clone(),
                member_key: member.member_key.to_string(),
                lock_key: member.details.lock_key.map(|key| key.to_tlpub()),
                log_key: member.details.log_key.to_string(),
                node_key: own.map(|node| node.node_key.to_string()).unwrap_or_default(),
                epoch: ground.fold.epoch().map_or(0, |epoch| epoch.0),
                lock: if on { "on" } else { "off" }.to_owned(),
                rules: ground.fold.rules(),
                record_index: ground.fold.next_index().saturating_sub(1),
                record_hash: ground.fold.last_hash().map(|h| h.to_string()).unwrap_or_default(),
                fold_hash: ground.fold.fold_hash().to_string(),
                support_escrow: escrow,
            }))
        })
        .await
    }

    pub(super) async fn records(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let number = |name: &str, default| match query(call.query.as_deref(), name).as_deref() {
            None | Some("") => Ok(default),
            Some(text) => text
                .parse::<u64>()
                .map_err(|_| Problem::bad(format!("the parameter {name} is not a number"))),
        };
        let (from, limit) = (number("from", 0)?, number("limit", PAGE_RECORDS)?);
        let lines = self.look(move |ground| {
            let mut lines = Vec::new();
            let limit = usize::try_from(limit.min(PAGE_RECORDS)).unwrap_or(0);
            for record in records::from(ground.rows, from)?.take(limit) {
                let line = RecordLine::from(&record?);
                serde_json::to_writer(&mut lines, &line)
                    .map_err(|e| Fault::from_error("writing a record", e))?;
                lines.push(b'\n');
                if lines.len() > PAGE_BYTES {
                    break;
                }
            }
            Ok(lines)
        });
        Ok(http::whole(StatusCode::OK, "application/x-ndjson", lines.await?))
    }

    /// A signed note (c2sp.org/signed-note), made now.
    pub(super) async fn checkpoint(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let size = match query(call.query.as_deref(), "size") {
            None => None,
            Some(text) => Some(
                text.parse::<u64>()
                    .map_err(|_| Problem::bad("the parameter size is not a number".to_owned()))?,
            ),
        };
        let keys = self.keys.clone();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let note = self.look(move |ground| Ok(checkpoint::signed(ground, size, &*keys.log, now)?));
        Ok(http::whole(StatusCode::OK, "text/plain; charset=utf-8", found(note.await?)?))
    }

    /// A tile of the Merkle tree over the record hashes, or the hashes themselves
    /// (c2sp.org/tlog-tiles).
    pub(super) async fn tile(&self, tile: Tile) -> Result<Response<Body>, Problem> {
        let content = self.look(move |ground| {
            if !tile.is_within(ground.fold.next_index()) {
                return Ok(None);
            }
            let TileKind::Entries = tile.kind else { return Ok(Some(tile.hashes(ground.rows)?)) };
            let mut hashes = Vec::new();
            for index in tile.items() {
                let missing = || Fault::new(format!("record {index} is missing"));
                let record = records::record(ground.rows, index)?.ok_or_else(missing)?;
                hashes.push(record.hash());
            }
            Ok(Some(entry_bundle(hashes)))
        });
        Ok(http::whole(StatusCode::OK, "application/octet-stream", found(content.await?)?))
    }

    /// A record's canonical bytes.
    pub(super) async fn record_bytes(&self, index: u64) -> Result<Response<Body>, Problem> {
        let bytes = self.look(move |ground| {
            Ok(records::record(ground.rows, index)?.map(|record| record.bytes().to_vec()))
        });
        Ok(http::whole(StatusCode::OK, "application/octet-stream", found(bytes.await?)?))
    }

    pub(super) async fn epoch_log(&self, call: &Call) -> Result<Response<Body>, Problem> {
        let limit = limit(call)?;
        let epoch = query(call.query.as_deref(), "epoch").and_then(|text| text.parse().ok());
        let epoch = epoch.ok_or_else(|| Problem::bad("the parameter epoch is not a number"))?;
        let view = self.read().await?;
        let unknown =
            || Problem::new(StatusCode::NOT_FOUND, format!("the lock has had no epoch {epoch}"));
        lifecycle::epoch(view.rows(), Epoch(epoch))?.ok_or_else(unknown)?;
        let authority = Authority::open(view.rows(), ChainId(epoch))?.ok_or_else(unknown)?;
        Ok(log_of(view, authority, limit))
    }

    pub(super) async fn epochs(&self) -> Result<Response<Body>, Problem> {
        self.look(|ground| {
            let last = ground.fold.epoch().map_or(0, |epoch| epoch.0);
            let mut epochs = Vec::new();
            for number in 1..=last {
                let Some(entry) = lifecycle::epoch(ground.rows, Epoch(number))? else { continue };
                let head = Authority::open(ground.rows, ChainId(number))?;
                let began = records::record(ground.rows, entry.began)?;
                epochs.push(EpochBody {
                    epoch: number,
                    state_id: format!("{}:{}", entry.state_id.0, entry.state_id.1),
                    genesis: entry.genesis.to_string(),
                    head: head.map(|authority| authority.head().to_string()).unwrap_or_default(),
                    initialized_record: entry.began,
                    disabled_record: entry.ended,
                    disablements: began.as_ref().map(disablements).unwrap_or_default(),
                });
            }
            Ok(json(&epochs))
        })
        .await
    }

    pub(super) async fn request(&self, id: &str) -> Result<Response<Body>, Problem> {
        let id = decode(id).unwrap_or_default();
        let request: ledger::history::RequestId = id
            .parse()
            .map_err(|error: ledger::history::BadRequestId| Problem::bad(error.to_string()))?;
        self.look(move |ground| {
            let first = requests::parts(ground.rows, &request)?.into_iter().next();
            let record = match &first {
                Some(part) => records::record(ground.rows, part.index)?,
                None => None,
            };
            Ok(json(&RequestBody {
                request_id: request.to_string(),
                applied: first.is_some(),
                record_index: first.map(|part| part.index),
                record_hash: record.map(|record| record.hash().to_string()),
                digest: first.map(|part| data_encoding::HEXLOWER.encode(&part.digest)),
            }))
        })
        .await
    }
}

/// The log of an authority, sent while it is read: it may be long. When reading fails, the answer
/// breaks off in the middle, where no JSON ends.
pub(super) fn log_of(view: Arc<View>, authority: Authority, limit: u64) -> Response<Body> {
    if limit == 0 {
        return json(&());
    }
    let (send, pieces) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let chain = authority.chain(view.rows());
        let mut piece = b"[".to_vec();
        for (place, entry) in answers::log(chain, authority.head(), limit).enumerate() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(fault) => {
                    tracing::error!(%fault, "a log broke off");
                    return;
                }
            };
            piece.extend_from_slice(if place == 0 { b"\n\t" } else { b",\n\t" });
            for line in to_json(&entry).split_inclusive(|byte| *byte == b'\n') {
                piece.extend_from_slice(line);
                if line.ends_with(b"\n") {
                    piece.push(b'\t');
                }
            }
            if piece.len() >= PIECE_BYTES
                && send.blocking_send(std::mem::take(&mut piece).into()).is_err()
            {
                return;
            }
        }
        piece.extend_from_slice(b"\n]");
        let _ = send.blocking_send(piece.into());
    });
    http::in_pieces("application/json", pieces)
}
