//! From keystone's catalog to Nova's address, and to the image store's.

use serde::Deserialize;
use url::Url;

use super::clouds::web_address;
use super::error::CatalogError;

const COMPUTE: &str = "compute";
const PLACEMENT: &str = "placement";
const IMAGE: &str = "image";

/// One service of the catalog.
#[derive(Debug, Clone, Deserialize)]
pub struct CatalogService {
    /// For example `compute`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// One address of a service.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// The region's id, which is its name.
    #[serde(default)]
    pub region_id: Option<String>,
    /// The same, from older keystones.
    #[serde(default)]
    pub region: Option<String>,
    /// The address.
    pub url: String,
}

impl Endpoint {
    fn region(&self) -> &str {
        self.region_id.as_deref().or(self.region.as_deref()).unwrap_or("(none)")
    }
}

/// Nova's address for this interface and region, ending in `/v2.1` or `/v2.1/PROJECT`.
///
/// Without a region all matching endpoints must agree.
pub fn compute_url(
    catalog: &[CatalogService],
    interface: &str,
    region: Option<&str>,
) -> Result<Url, CatalogError> {
    versioned(address(catalog, COMPUTE, interface, region)?)
}

/// Placement's address, likewise; it has no version in its path.
pub fn placement_url(
    catalog: &[CatalogService],
    interface: &str,
    region: Option<&str>,
) -> Result<Url, CatalogError> {
    let url = address(catalog, PLACEMENT, interface, region)?;
    web_address(url).map_err(|why| CatalogError::BadAddress { service: PLACEMENT, url: url.to_owned(), why })
}

fn address<'a>(
    catalog: &'a [CatalogService],
    service: &'static str,
    interface: &str,
    region: Option<&str>,
) -> Result<&'a str, CatalogError> {
    let services: Vec<_> = catalog.iter().filter(|found| found.kind == service).collect();
    if services.is_empty() {
        let mut found: Vec<String> = catalog.iter().map(|service| service.kind.clone()).collect();
        found.sort();
        return Err(CatalogError::NoService { service, found });
    }
    let endpoints = || services.iter().flat_map(|service| &service.endpoints);
    let matching: Vec<&Endpoint> = endpoints()
        .filter(|end| end.interface == interface && region.is_none_or(|region| end.region() == region))
        .collect();
    let Some(first) = matching.first() else {
        let mut found: Vec<String> =
            endpoints().map(|end| format!("{} in {}", end.interface, end.region())).collect();
        found.sort();
        found.dedup();
        let region = region.unwrap_or("(any)").to_owned();
        return Err(CatalogError::NoEndpoint { service, interface: interface.to_owned(), region, found });
    };
    // Two ways to write one address, or a release that has no microversions beside the one that has.
    let usable: Vec<&Endpoint> =
        matching.iter().copied().filter(|end| !is_before_microversions(service, end)).collect();
    let first = usable.first().unwrap_or(first);
    let is_another = |end: &&Endpoint| end.url.trim_end_matches('/') != first.url.trim_end_matches('/');
    if !usable.iter().copied().any(|end| is_another(&end)) {
        return Ok(&first.url);
    }
    let mut found: Vec<String> =
        usable.iter().map(|end| format!("{} in {}", end.url, end.region())).collect();
    found.sort();
    found.dedup();
    let interface = interface.to_owned();
    Err(match usable.iter().any(|end| end.region() != first.region()) {
        true => CatalogError::SeveralRegions { service, interface, found },
        false => CatalogError::SeveralAddresses { service, interface, found },
    })
}

/// Nova's `v2` (and what was before it), which many catalogs still have beside `v2.1`.
fn is_before_microversions(service: &str, end: &Endpoint) -> bool {
    let path = web_address(&end.url).map(|url| url.path().to_owned()).unwrap_or_default();
    service == COMPUTE && path.split('/').any(|part| ["v1.1", "v2"].contains(&part))
}

/// The image store's address, ending in `/v2`; `None` where the catalog has none, or several that
/// differ: a recovery goes without it.
pub fn image_url(catalog: &[CatalogService], interface: &str, region: Option<&str>) -> Option<Url> {
    let mut found = catalog
        .iter()
        .filter(|service| service.kind == IMAGE)
        .flat_map(|service| &service.endpoints)
        .filter(|end| end.interface == interface && region.is_none_or(|region| end.region() == region));
    let first = found.next()?;
    if found.any(|end| end.url != first.url) {
        return None;
    }
    let mut url = web_address(&first.url).ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&if path.ends_with("/v2") { path } else { format!("{path}/v2") });
    Some(url)
}

/// Adds `/v2.1` where the catalog leaves the version out; refuses the API before microversions.
pub fn versioned(text: &str) -> Result<Url, CatalogError> {
    let bad = |why: String| CatalogError::BadAddress { service: COMPUTE, url: text.to_owned(), why };
    let mut url = web_address(text).map_err(bad)?;
    let path = url.path().trim_end_matches('/').to_owned();
    if path.split('/').any(|part| ["v1.1", "v2"].contains(&part)) {
        return Err(bad("API v2 has no microversions; v2.1 is needed".to_owned()));
    }
    let known = path.split('/').any(|part| part == "v2.1");
    url.set_path(&if known { path } else { format!("{path}/v2.1") });
    url.set_query(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(endpoints: &[(&str, &str, &str)]) -> Vec<CatalogService> {
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(interface, region, url)| serde_json::json!({"interface": interface, "region_id": region, "url": url}))
            .collect();
        serde_json::from_value(serde_json::json!([
            {"type": "identity", "endpoints": []},
            {"type": "compute", "name": "nova", "endpoints": endpoints},
        ]))
        .unwrap()
    }

    #[test]
    fn interface_and_region_choose_the_address() {
        let catalog = catalog(&[
            ("public", "one", "http://a:8774/v2.1"),
            ("internal", "one", "http://b:8774/v2.1/"),
            ("public", "two", "http://c:8774/v2.1/0123abcd"),
            ("admin", "two", "http://d/compute"),
        ]);
        let url = |interface, region| compute_url(&catalog, interface, region).map(String::from);
        assert_eq!(url("public", Some("one")).unwrap(), "http://a:8774/v2.1");
        assert_eq!(url("internal", None).unwrap(), "http://b:8774/v2.1");
        assert_eq!(url("public", Some("two")).unwrap(), "http://c:8774/v2.1/0123abcd");
        assert_eq!(url("admin", None).unwrap(), "http://d/compute/v2.1");
        let error = url("public", None).unwrap_err();
        assert!(matches!(error, CatalogError::SeveralRegions { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("http://a:8774/v2.1 in one") && error.contains("http://c"), "{error}");
        let error = url("public", Some("three")).unwrap_err().to_string();
        assert!(error.contains("three") && error.contains("internal in one"), "{error}");
    }

    #[test]
    fn of_two_addresses_in_one_region_the_usable_one_is_taken_and_else_the_setting_named() {
        let of = |urls: &[&str]| {
            let endpoints: Vec<_> = urls.iter().map(|url| ("public", "one", *url)).collect();
            compute_url(&catalog(&endpoints), "public", Some("one")).map(String::from)
        };
        assert_eq!(of(&["http://a/v2/0123", "http://a/v2.1"]).unwrap(), "http://a/v2.1");
        assert_eq!(of(&["http://a/v2.1/", "http://a/v2/0123", "http://a/v1.1"]).unwrap(), "http://a/v2.1");
        assert_eq!(of(&["http://a/v2.1", "http://a/v2.1/"]).unwrap(), "http://a/v2.1");
        assert!(of(&["http://a/v2"]).unwrap_err().to_string().contains("microversions"));
        let error = of(&["http://10.0.0.1/v2.1", "http://[::1]/v2.1"]).unwrap_err();
        assert!(matches!(error, CatalogError::SeveralAddresses { .. }), "{error}");
        let next = error.next("prod", "/etc/openstack/clouds.yaml");
        assert_eq!(next, "set compute_endpoint_override of cloud \"prod\" in /etc/openstack/clouds.yaml");
        let text = serde_json::json!([{"type": "placement", "endpoints": [
            {"interface": "public", "region_id": "one", "url": "http://a/placement"},
            {"interface": "public", "region_id": "one", "url": "http://a/placement-old"},
        ]}]);
        let two: Vec<CatalogService> = serde_json::from_value(text).unwrap();
        let next = placement_url(&two, "public", None).unwrap_err().next("prod", "x.yaml");
        assert!(next.starts_with("set placement_endpoint_override of"), "{next}");
    }

    #[test]
    fn the_image_store_is_found_with_and_without_its_version_or_not_at_all() {
        let catalog = |urls: &[&str]| -> Vec<CatalogService> {
            let endpoints: Vec<_> = urls
                .iter()
                .map(|url| serde_json::json!({"interface": "public", "region_id": "one", "url": url}))
                .collect();
            serde_json::from_value(serde_json::json!([{"type": "image", "endpoints": endpoints}])).unwrap()
        };
        let url = |urls: &[&str]| image_url(&catalog(urls), "public", Some("one")).map(String::from);
        assert_eq!(url(&["http://a/image"]).as_deref(), Some("http://a/image/v2"));
        assert_eq!(url(&["http://a:9292/v2/"]).as_deref(), Some("http://a:9292/v2"));
        assert_eq!(url(&["http://a", "http://b"]), None);
        assert_eq!(url(&[]), None);
        assert_eq!(image_url(&catalog(&["http://a"]), "internal", None), None);
    }

    #[test]
    fn a_catalog_without_compute_says_what_it_has() {
        let only = catalog(&[]).into_iter().take(1).collect::<Vec<_>>();
        let error = compute_url(&only, "public", None).unwrap_err().to_string();
        assert!(error.contains("compute") && error.contains("identity"), "{error}");
        assert!(compute_url(&catalog(&[("public", "one", "http://a/v2")]), "public", None).is_err());
    }
}
