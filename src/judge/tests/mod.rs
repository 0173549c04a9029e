//! Tables of scenes, and properties of all scenes.

mod alone;
mod freshness;
mod guard;
mod properties;
mod site;
mod verdict;
