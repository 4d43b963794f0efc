//! What is said when somebody joins or visits, for tests that say anything.

use ledger::cbor::Malformed;

use super::letter::{Members, Piece, Visit, after, believed, is_believed, read_after};
use super::words::{Answer, Ask};

/// How each side that understands these bytes would say the same.
pub fn said_again(bytes: &[u8]) -> Vec<Vec<u8>> {
    fn again<T>(read: Result<T, Malformed>, write: impl Fn(&T) -> Vec<u8>) -> Option<Vec<u8>> {
        read.ok().map(|word| write(&word))
    }
    let all = [
        again(Ask::from_bytes(bytes), Ask::to_bytes),
        again(Answer::from_bytes(bytes), Answer::to_bytes),
        again(Visit::from_bytes(bytes), |visit| visit.to_bytes()),
        again(read_after(bytes), |record| after(*record)),
        again(Piece::from_bytes(bytes), Piece::to_bytes),
        again(Members::from_bytes(bytes), Members::to_bytes),
        is_believed(bytes).then(believed),
    ];
    all.into_iter().flatten().collect()
}
