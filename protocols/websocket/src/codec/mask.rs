//! Undoing the mask of a client's frame (RFC 6455, section 5.3), in place.

/// Bytes that are masked in one step. The compiler makes one or two vector instructions of it.
const STEP_BYTES: usize = 32;

/// Applies the mask, and turns it so that it fits the byte behind these.
pub(super) fn apply_mask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let mut wide = [0; STEP_BYTES];
    for (byte, mask) in wide.iter_mut().zip(mask.iter().cycle()) {
        *byte = *mask;
    }
    let mut steps = bytes.chunks_exact_mut(STEP_BYTES);
    for step in &mut steps {
        for (byte, mask) in step.iter_mut().zip(&wide) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in steps.into_remainder().iter_mut().zip(&wide) {
        *byte ^= mask;
    }
    mask.rotate_left(bytes.len() % 4);
}
