//! The regions of a cloud in `clouds.yaml`: one name, several, or each with what is different there.

use super::clouds_file::CloudEntry;
use super::environment::Environment;
use crate::say::short;

impl CloudEntry {
    /// The cloud as it is in its one region, or in the one that `region_name` names (`OS_REGION_NAME` where the file does
    /// not say), with that region's name. openstacksdk would take the first of several; two matches are an error here.
    pub(super) fn in_region(mut self, env: &Environment) -> Result<(Self, Option<String>), String> {
        let regions = std::mem::take(&mut self.regions);
        let named = self.region_name.take().unwrap_or_default().names();
        let chosen = env.variable("OS_REGION_NAME");
        let known: Vec<String> = match regions.is_empty() {
            true => named.clone(),
            false => regions.iter().map(|region| region.name.clone()).collect(),
        };
        let name = match (named.as_slice(), known.as_slice()) {
            ([one], _) => one.clone(),
            (_, []) => return Ok((self, None)),
            (_, [one]) => one.clone(),
            (_, several) => chosen.ok_or_else(|| {
                format!(
                    "it has several regions ({}): set region_name, or OS_REGION_NAME",
                    short(&several.join(", "))
                )
            })?,
        };
        if !known.contains(&name) {
            return Err(format!("{name:?} is none of its regions: {}", short(&known.join(", "))));
        }
        let values = regions.into_iter().find(|region| region.name == name).map(|region| region.values);
        let here = match values {
            Some(values) => self.overlaid(values),
            None => self,
        };
        Ok((here, Some(name)))
    }
}
