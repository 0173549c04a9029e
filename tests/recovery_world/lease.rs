//! The lease is kept as long as Consul keeps its session.

use std::time::Duration;

use nova_ha::policy::Policy;
use nova_ha::recovery::lease::Lease;
use nova_ha::store::Op;

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
                        assert!(lease.in_time().is_ok(), "{fault:?} at call {at}: {:?}", lease.in_time());
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

#[test]
fn a_lock_that_is_anothers_ends_the_work_although_the_session_lives() {
    let stage = Stage::with_dead_host();
    let process = stage.process("ha1", None);
    let world = process.world();
    let policy = Policy::default();
    let lock = "ha_cluster/incidents/compute1@0/lock".to_owned();
    block_on(&stage.time, async {
        let taken = Lease::take(world.store.as_ref(), world.clock.as_ref(), &policy, "test".into());
        let lease = taken.await.unwrap();
        let op = Op::Lock(lock.clone(), b"ha1".to_vec(), lease.session().clone());
        world.store.transact(&[op]).await.unwrap();
        lease.holds(lock.clone());
        let robbed = async {
            stage.time.sleep(Duration::from_secs(30)).await;
            assert!(lease.in_time().is_ok(), "nothing is lost while the lock is ours");
            let op = Op::Unlock(lock.clone(), b"ha1".to_vec(), lease.session().clone());
            world.store.transact(&[op]).await.unwrap();
            stage.time.sleep(Duration::from_secs(10)).await;
        };
        tokio::select! {
            lost = lease.keep() => {
                assert!(lost.why.contains(&lock), "{lost:?}");
                assert!(lease.in_time().is_err());
            }
            () = robbed => panic!("nobody noticed that the lock is gone"),
        }
    });
}

#[test]
fn a_lock_that_was_given_back_is_no_loss() {
    let stage = Stage::with_dead_host();
    let process = stage.process("ha1", None);
    let world = process.world();
    let policy = Policy::default();
    block_on(&stage.time, async {
        let taken = Lease::take(world.store.as_ref(), world.clock.as_ref(), &policy, "test".into());
        let lease = taken.await.unwrap();
        lease.holds("ha_cluster/incidents/compute1@0/lock".into());
        lease.gives_back();
        tokio::select! {
            lost = lease.keep() => panic!("{lost:?}"),
            () = stage.time.sleep(Duration::from_secs(60)) => {}
        }
    });
}
