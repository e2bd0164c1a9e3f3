//! What a policy may be at most, and what is looked at in a message.

/// Longest policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;

/// Keys of a policy, those inside of others not counted.
pub const KEYS_MAX: usize = 5;

/// Combinations of the values of a policy: the product of how many each key has, times the level that it is on.
pub const COMBINATIONS_MAX: usize = 150;

/// Fields of one rule. AWS names no such limit; the others leave room for more only with `$or`.
pub const FIELDS_MAX: usize = 64;

/// Wildcards in one pattern.
pub const WILDCARDS_MAX: usize = 3;

/// What all wildcards of a policy may come to: one point for a pattern that has one and three for each of one that has more, times the
/// number of patterns of the key; the keys are added up.
pub const WILDCARD_POINTS_MAX: usize = 100;

/// How deep objects may be nested in a policy. Deeper, its combinations are too many.
pub(super) const POLICY_DEPTH_MAX: usize = COMBINATIONS_MAX + 10;

/// Longest body that is looked at, in bytes: what SNS takes at most, four times. A longer one, which another protocol may have
/// brought, meets no policy that asks for something of it.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Values of a body, or of all attributes, that have a name which some policy asks for. A message with more of them meets none.
pub const BODY_VALUES_MAX: usize = 64 * 1024;

/// How deep a body may be nested.
pub(super) const BODY_DEPTH_MAX: usize = 1000;

/// What may be spent to find values from the same elements of arrays, for one rule.
pub(super) const TRIES_MAX: usize = 256 * 1024;

/// What may be compared for one message in all. A rule whose turn comes when it is spent does not hold. A hundred thousand times what
/// is usual: some tens of milliseconds.
pub(super) const COMPARED_MAX: usize = 4 * 1024 * 1024;
