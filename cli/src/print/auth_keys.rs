//! `authkey list` as text. (Its JSON is the daemon's.)

use replica::local_api::bodies::AuthKeyBody;

use super::line;
use super::table::table;

/// A table, one auth key a line.
pub(crate) fn auth_keys(entries: &[AuthKeyBody]) -> String {
    let mut rows = vec![["ID", "STATE", "FOR", "USES", "EXPIRES"].map(str::to_owned)];
    for entry in entries {
        rows.push([
            line(&entry.id),
            line(&entry.state),
            if entry.reusable { "many" } else { "one" }.to_owned(),
            entry.uses.to_string(),
            entry.expires.as_deref().map_or_else(|| "never".to_owned(), line),
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_80_columns() {
        let entry = |id: &str, reusable| AuthKeyBody {
            id: id.into(),
            state: "valid".into(),
            reusable,
            expires: reusable.then(|| "2026-11-26T00:00:00.000Z".into()),
            uses: 2,
            ..AuthKeyBody::default()
        };
        let text = auth_keys(&[entry("kABCDEFGHIJKLMNOPCNTRL", true), entry("k\x1b1", false)]);
        assert_eq!(
            text,
            "ID                      STATE  FOR   USES  EXPIRES\n\
             kABCDEFGHIJKLMNOPCNTRL  valid  many  2     2026-11-26T00:00:00.000Z\n\
             k\\u{1b}1                valid  one   2     never\n"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }
}
