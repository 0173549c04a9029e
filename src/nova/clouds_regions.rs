//! The regions of a cloud in `clouds.yaml`: one name, several, or each with what is different there.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::clouds::Environment;
use super::clouds_file::CloudEntry;
use crate::say::short;

/// `region_name`: one text, or (deprecated in openstacksdk, and still read by it) several in a list or between commas.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Texts(Vec<String>);

impl Texts {
    pub(super) fn one(text: String) -> Self {
        Self(vec![text])
    }

    fn names(&self) -> Vec<String> {
        let parts = self.0.iter().flat_map(|text| text.split(','));
        parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a region's name, or a list of names")
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts::one(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Texts, E> {
                Ok(Texts::one(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Texts, E> {
                Ok(Texts::one(number.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element::<String>()? {
                    names.push(name);
                }
                Ok(Texts(names))
            }
        }
        from.deserialize_any(Any)
    }
}

/// One of `regions`: a name, or `name` and `values`.
#[derive(Debug, Clone)]
pub(super) struct Region {
    name: String,
    values: CloudEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithValues {
    name: String,
    values: Option<CloudEntry>,
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Region;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a region's name, or its name and values")
            }

            fn visit_str<E>(self, text: &str) -> Result<Region, E> {
                Ok(Region { name: text.to_owned(), values: CloudEntry::default() })
            }

            fn visit_u64<E>(self, number: u64) -> Result<Region, E> {
                Ok(Region { name: number.to_string(), values: CloudEntry::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Region, A::Error> {
                let WithValues { name, values } = WithValues::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Region { name, values: values.unwrap_or_default() })
            }
        }
        from.deserialize_any(Any)
    }
}

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
