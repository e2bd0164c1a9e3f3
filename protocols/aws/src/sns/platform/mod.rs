//! Mobile push: platform applications and their endpoints.
//!
//! | file | about |
//! | --- | --- |
//! | `kind` | services, by their names |
//! | `application`, `endpoint` | what is kept of them, and what may be set; pure |
//! | `credentials`, `jwt` | how a service is shown that an application may send; pure |
//! | `apple`, `google` | messages as services want them, and what their answers mean; pure |
//! | `kept` | all of them, and their rows |
//! | `place` | what a request is about, and whether the caller may |
//! | `verdict` | what became of a message at a service |
//! | `tokens` | tokens that were made a moment ago |

pub(crate) mod apple;
pub(crate) mod application;
pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod google;
pub(crate) mod jwt;
mod kept;
pub(crate) mod kind;
pub(crate) mod place;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tokens;
pub(crate) mod verdict;

pub(crate) use self::kept::Platforms;
