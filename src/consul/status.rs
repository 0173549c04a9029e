//! Who leads.

use super::http::{Call, Http};
use crate::store::StoreError;

/// Address (`ip:port`) of the leader, or `None` while nobody leads.
pub(super) async fn leader(http: &Http) -> Result<Option<String>, StoreError> {
    let call = Call::get("ask who leads", "status/leader");
    // One attempt decides: repeating until somebody leads would hide the very thing asked for.
    match http.once(&call).await {
        Ok(answer) => Ok(Some(answer.json::<String>(&call)?).filter(|leader| !leader.is_empty())),
        Err(StoreError::NoLeader { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
