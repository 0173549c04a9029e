//! The cloud's seam: Nova as the universe has it, each call one of the counted ones.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nova_ha::nova::error::Call;
use nova_ha::nova::{
    Aggregate, Cloud, CloudInfo, ComputeService, EvacuateRequest, Image, Microversion, Migration, NovaError,
    NovaHost, Reports, RequestId, Room, Server, ServerGroup, ServerId, ServiceId, ServiceState,
    ServiceStatus, Token, TokenId,
};
use nova_ha::recovery::world::Clouds;

use tokio::sync::Mutex;

use super::schedules::invariants::Effect;
use super::schedules::weather::{Kind, Request};
use super::seams::{FIRST_EVACUATE, Fault, Process};
use super::universe::{LatePost, NOT_AUTHORIZED, Universe};

pub(super) struct SimClouds(pub(super) Arc<Process>);

impl Clouds for SimClouds {
    fn open(&self, _: Option<&str>, _: Duration) -> Result<Box<dyn Cloud>, String> {
        Ok(Box::new(SimCloud(Arc::clone(&self.0), Mutex::default())))
    }
}

/// With the token of its login.
struct SimCloud(Arc<Process>, Mutex<Option<TokenId>>);

fn of_call(effect: bool) -> Box<Call> {
    Box::new(Call {
        method: if effect { reqwest::Method::POST } else { reqwest::Method::GET },
        url: "sim".into(),
        our_id: RequestId::ours(),
        nova_id: None,
        effect,
    })
}

impl SimCloud {
    async fn ask<T>(
        &self,
        name: &str,
        effect: bool,
        act: impl FnOnce(&mut Universe) -> Result<T, NovaError>,
    ) -> Result<T, NovaError> {
        let lost = || NovaError::Timeout { call: of_call(effect), after: Duration::from_secs(1) };
        self.0.call(name, lost, |u| if u.nova_is_away { Err(lost()) } else { act(u) }).await
    }

    /// An effect, which may be on its way for long.
    async fn send<T>(
        &self,
        request: Request<'_>,
        act: impl FnOnce(&mut Universe) -> Result<T, NovaError> + Send + 'static,
    ) -> Result<T, NovaError> {
        let lost = || NovaError::Timeout { call: of_call(true), after: Duration::from_secs(1) };
        let act = move |u: &mut Universe| if u.nova_is_away { Err(lost()) } else { act(u) };
        self.0.send(request, lost, act).await
    }

    async fn change(
        &self,
        name: &'static str,
        service: &ServiceId,
        act: impl FnOnce(&mut ComputeService) + Send + 'static,
    ) -> Result<ComputeService, NovaError> {
        let (by, service) = (self.0.node.clone(), service.clone());
        self.send(Request::new(name, Kind::Service), move |u| {
            let host =
                u.services.iter().find(|(_, s)| s.id == service).map(|(host, _)| host.clone()).unwrap();
            let off = !u.machines[&host].power_on;
            u.rule(off, format!("{by}: {name} of {host} while it is powered on"));
            u.did(&by, format!("{name} {host}"));
            u.is_done(&by, &Effect::Nova);
            act(u.services.get_mut(&host).unwrap());
            u.reports.changed(&host, u.now);
            Ok(u.service_of(&host).unwrap())
        })
        .await
    }
}

#[async_trait]
impl Cloud for SimCloud {
    async fn ping(&self) -> Result<CloudInfo, NovaError> {
        let info = CloudInfo {
            compute_url: "sim".into(),
            newest: Microversion::two(96),
            user: "admin".into(),
            project: None,
        };
        self.ask("ping", false, |_| Ok(info)).await
    }
    async fn service(&self, host: &NovaHost) -> Result<Option<ComputeService>, NovaError> {
        self.ask("service", false, |u| Ok(u.service_of(host.as_str()))).await
    }
    async fn beside(&self, _: &NovaHost) -> Result<Vec<NovaHost>, NovaError> {
        self.ask("hypervisors", false, |_| Ok(Vec::new())).await
    }
    async fn reports(&self, host: &NovaHost) -> Result<Option<Reports>, NovaError> {
        self.ask("reports", false, |u| Ok(u.reports_of(host.as_str()))).await
    }
    async fn set_forced_down(&self, service: &ServiceId, down: bool) -> Result<ComputeService, NovaError> {
        let set = move |s: &mut ComputeService| {
            s.forced_down = down;
            s.state = if down { ServiceState::Down } else { s.state };
        };
        self.change("forced_down", service, set).await
    }
    async fn disable(&self, service: &ServiceId, reason: &str) -> Result<ComputeService, NovaError> {
        let reason = reason.to_owned();
        let set = move |s: &mut ComputeService| {
            s.status = ServiceStatus::Disabled;
            s.disabled_reason = Some(reason);
        };
        self.change("disable", service, set).await
    }
    async fn enable(&self, service: &ServiceId) -> Result<ComputeService, NovaError> {
        self.change("enable", service, |s| s.status = ServiceStatus::Enabled).await
    }
    async fn servers_on(&self, host: &NovaHost) -> Result<Vec<Server>, NovaError> {
        self.ask("servers", false, |u| {
            Ok(u.servers.values().filter(|s| s.host.as_ref() == Some(host)).cloned().collect())
        })
        .await
    }
    async fn server(&self, server: &ServerId) -> Result<Option<Server>, NovaError> {
        self.ask("server", false, |u| Ok(u.servers.get(server).cloned())).await
    }
    async fn token(&self) -> Result<Token, NovaError> {
        // Many at once make one login.
        let mut current = self.1.lock().await;
        if let Some(token) = current.as_ref() {
            let mut universe = self.0.universe.lock().unwrap();
            let universe = universe.at(self.0.time.now());
            if universe.is_good(token) {
                return Ok(universe.token(token));
            }
        }
        let by = self.0.node.clone();
        let login = |u: &mut Universe| {
            let token = u.gives_a_token();
            u.keeps_token(&token, &by);
            Ok(token)
        };
        let token = self.ask("login", false, login).await?;
        *current = Some(token.clone());
        let mut universe = self.0.universe.lock().unwrap();
        Ok(universe.at(self.0.time.now()).token(&token))
    }
    async fn set_aside(&self, token: &TokenId) {
        self.1.lock().await.take_if(|current| *current == *token);
    }
    async fn revoke(&self, token: &TokenId) -> Result<Option<jiff::Timestamp>, NovaError> {
        self.set_aside(token).await;
        let (by, token) = (self.0.node.clone(), token.clone());
        self.ask("revoke", true, |u| Ok(u.revokes(&token, &by))).await
    }
    async fn evacuate(
        &self,
        server: &ServerId,
        request: &EvacuateRequest,
        token: &TokenId,
    ) -> Result<RequestId, NovaError> {
        if self.1.lock().await.as_ref() != Some(token) {
            return Err(NovaError::NotSent { why: "another token".into() });
        }
        let by = self.0.node.clone();
        let to = request.host().map(|host| host.as_str().to_owned());
        let fault = self.0.fault();
        if let Some((at, Fault::DiesAndPostsLater(later) | Fault::PostsLater(later))) = fault
            && (at == self.0.calls().len() || at == FIRST_EVACUATE)
        {
            let due = self.0.time.now() + later;
            let (by, server, to, token) = (by.clone(), server.clone(), to.clone(), token.clone());
            let late = LatePost { due, by, server, to, token };
            self.0.universe.lock().unwrap().late_posts.push(late);
        }
        let server = server.clone();
        let token = token.clone();
        let request = Request {
            about: Some(server.clone()),
            token: Some(token.clone()),
            ..Request::new("evacuate", Kind::Post)
        };
        self.send(request, move |u| {
            let (call, refused) = (of_call(true), u.evacuate(&by, &server, to.as_deref(), Some(&token)));
            refused.map(|()| RequestId::ours()).map_err(|why| match why {
                NOT_AUTHORIZED => NovaError::Unauthorized { call, message: why.into() },
                _ => NovaError::BadRequest { call, message: why.into() },
            })
        })
        .await
    }
    async fn reset_to_error(&self, server: &ServerId, token: &TokenId) -> Result<RequestId, NovaError> {
        if self.1.lock().await.as_ref() != Some(token) {
            return Err(NovaError::NotSent { why: "another token".into() });
        }
        let by = self.0.node.clone();
        self.ask("reset", true, |u| Ok(u.reset_to_error(&by, server))).await
    }
    async fn stop(&self, server: &ServerId) -> Result<RequestId, NovaError> {
        let by = self.0.node.clone();
        self.ask("stop", true, |u| {
            let conflict = |why: &str| NovaError::Conflict { call: of_call(true), message: why.into() };
            u.stop(&by, server).map(|()| RequestId::ours()).map_err(conflict)
        })
        .await
    }
    async fn live_migrations_at(&self, host: &NovaHost) -> Result<Vec<Migration>, NovaError> {
        let here = |m: &&Migration| m.source == *host || m.dest.as_ref() == Some(host);
        self.ask("live migrations", false, |u| Ok(u.live_migrations.iter().filter(here).cloned().collect()))
            .await
    }
    async fn aggregates(&self) -> Result<Vec<Aggregate>, NovaError> {
        self.ask("aggregates", false, |u| Ok(u.aggregates.clone())).await
    }
    async fn server_groups(&self) -> Result<Vec<ServerGroup>, NovaError> {
        self.ask("groups", false, |u| Ok(u.server_groups.clone())).await
    }
    async fn image(&self, _: &str) -> Result<Option<Image>, NovaError> {
        self.ask("image", false, |_| Ok(None)).await
    }
    async fn evacuations_from(&self, source: &NovaHost) -> Result<Vec<Migration>, NovaError> {
        self.ask("migrations", false, |u| {
            let mut found: Vec<Migration> = u.migrations.iter().map(|(m, _)| m.clone()).collect();
            found.retain(|m| m.source == *source);
            found.reverse();
            Ok(found)
        })
        .await
    }
    async fn evacuations_seen(
        &self,
        source: &NovaHost,
        _: Option<usize>,
    ) -> Result<Vec<Migration>, NovaError> {
        self.evacuations_from(source).await
    }
    async fn evacuations_of(&self, server: &ServerId) -> Result<Vec<Migration>, NovaError> {
        let of = |m: &Migration| m.server == *server;
        self.ask("migrations of", false, |u| {
            Ok(u.migrations.iter().map(|(m, _)| m).filter(|m| of(m)).cloned().collect())
        })
        .await
    }
    async fn rooms(&self, hosts: &[NovaHost]) -> Result<Vec<Room>, NovaError> {
        let room = |host: &NovaHost| Room { host: host.clone(), vcpus: 9, memory_mib: 9, disk_gib: None };
        self.ask("rooms", false, |_| Ok(hosts.iter().map(room).collect())).await
    }
}
