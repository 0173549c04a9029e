//! Tables of scenes.
