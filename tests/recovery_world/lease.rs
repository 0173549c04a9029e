//! The lease is kept as long as Consul keeps its session.

use std::time::Duration;

use nova_ha::fence::off::Permission;
use nova_ha::policy::Policy;
use nova_ha::recovery::lease::Lease;

use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;

#[test]
fn one_renewal_that_fails_or_hangs_stops_nothing() {
    for fault in [Fault::NoAnswer, Fault::Hangs, Fault::AnswerLost] {
        // The second call: the first takes the session.
        for at in 1..6 {
            let stage = Stage::with_dead_host();
            let process = stage.process("ha1", Some((at, fault)));
            let world = process.world();
            let policy = Policy::default();
            block_on(&stage.time, async {
                let taken = Lease::take(world.store.as_ref(), world.clock.as_ref(), &policy, "test".into());
                let lease = taken.await.unwrap();
                let watch = async {
                    for _ in 0..400 {
                        stage.time.sleep(Duration::from_millis(100)).await;
                        assert!(lease.check().is_ok(), "{fault:?} at call {at}: {:?}", lease.check());
                    }
                };
                tokio::select! {
                    lost = lease.keep() => panic!("{fault:?} at call {at}: {lost:?}"),
                    () = watch => {}
                }
            });
            assert!(process.struck().is_some(), "{fault:?} at call {at} did not happen");
        }
    }
}
