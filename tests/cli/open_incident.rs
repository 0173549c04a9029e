//! An incident, as an HA node took it up.

use jiff::Timestamp;
use nova_ha::incident::evidence::Evidence;
use nova_ha::incident::open::{AsSeen, transaction_within};
use nova_ha::incident::record::Origin;
use nova_ha::incident::{IncidentRecord, Status};
use nova_ha::keys;
use nova_ha::names::IncidentId;
use nova_ha::store::Store;

use crate::site::Site;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

pub(crate) async fn open(site: &Site, id: &str) -> IncidentId {
    let id: IncidentId = id.parse().unwrap();
    let consul = site.agent.client();
    let host = keys::host(id.host());
    let record = IncidentRecord {
        version: 1,
        id: id.clone(),
        origin: Origin::Observers,
        order: None,
        opened_by: "ha1".into(),
        opened_at: at(30),
        changed_at: at(30),
        holder: None,
        head: 0,
        status: Status::default(),
    };
    let evidence = Evidence {
        version: 1,
        judged_by: "ha1".into(),
        at: at(30),
        detected_at: at(0),
        verdict: "dead: 2 of 2 votes, serfHealth critical".into(),
        votes: vec![],
        quorum: 2,
        serf: "critical".into(),
        storm: "1 of 1".into(),
        anchor: None,
    };
    let get = async |key: String| consul.get(&key).await.unwrap();
    let (failed, recovered) = (get(host.failed()).await, get(host.recovered()).await);
    let (maintenance, epoch) = (get(host.maintenance()).await, get(host.epoch()).await);
    let queue = get(keys::RECOVERY_QUEUE.into()).await;
    let cooldown = get(keys::COOLDOWN.into()).await;
    let seen = AsSeen {
        failed: failed.as_ref(),
        recovered: recovered.as_ref(),
        maintenance: maintenance.as_ref(),
        epoch: epoch.as_ref(),
        recovery_queue: queue.as_ref(),
        cooldown: cooldown.as_ref(),
    };
    site.write(&transaction_within(&record, &evidence, seen)).await;
    id
}
