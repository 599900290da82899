//! What the tests of the engine share: sources of lines and the language of the cases.
#![allow(dead_code, reason = "not every test uses all of it")]

pub(crate) mod script;
pub(crate) mod source;
