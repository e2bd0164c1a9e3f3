//! The bytes of a client to frames.

use super::error::CodecError;
use super::escape::is_escaped;
use super::frame::{Command, Frame, Headers, Version};

/// What a frame may be at most. They count from the first byte: what is too much is refused as soon as that is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Command and header lines, in bytes, their ends of line included.
    pub header_bytes_max: usize,
    /// Header lines.
    pub headers_max: usize,
    /// Body, in bytes.
    pub body_bytes_max: usize,
}

/// How far the frame at the front of the input has been looked at: what has come of it is not looked at again when more comes.
/// Begins anew by itself behind each frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes in which neither the end of the headers nor that of the body is.
    searched: usize,
    /// Where the line begins that is not whole yet.
    line: usize,
    /// Lines that were whole.
    lines: usize,
    /// Where the body begins, and its length as far as that is claimed; 0 until the headers are whole.
    body: usize,
    body_bytes: Option<usize>,
}

/// What is at the front of the input.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// A frame, and the bytes that it took.
    Frame(Frame<'a>, usize),
    /// So many bytes between frames that mean nothing but that the client is alive.
    Skipped(usize),
    /// More bytes are needed. Nothing is taken.
    Incomplete,
}

/// No command of a client is longer, in bytes.
const COMMAND_BYTES_MAX: usize = 11;

/// Bytes of what is no command that are told of it.
const COMMAND_SHOWN_BYTES_MAX: usize = 32;

/// Looks at the front of the input; the caller drops the bytes of frames and those that are skipped. `version` is that of the
/// session, and says nothing of a CONNECT or STOMP (see [`Headers::of_version`]).
///
/// # Errors
/// It is no frame, or more than the limits allow.
pub fn decode<'a>(
    input: &'a [u8],
    progress: &mut Progress,
    version: Version,
    limits: &Limits,
) -> Result<Decoded<'a>, CodecError> {
    if progress.searched == 0 {
        // A NUL, too, as RabbitMQ takes it: some clients send one too many.
        let skipped = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | 0)).count();
        if skipped > 0 {
            return Ok(Decoded::Skipped(skipped));
        }
    }
    if progress.body == 0 && !find_body(input, progress, version, limits)? {
        return Ok(Decoded::Incomplete);
    }
    let Some(end) = find_end(input, progress, limits)? else { return Ok(Decoded::Incomplete) };
    let (command, headers) = read_head(&input[..progress.body], version)?;
    let body = &input[progress.body..end];
    *progress = Progress::default();
    Ok(Decoded::Frame(Frame { command, headers, body }, end + 1))
}

/// Looks for the empty line, and reads the headers once it is there.
fn find_body(input: &[u8], progress: &mut Progress, version: Version, limits: &Limits) -> Result<bool, CodecError> {
    let allowed = &input[..input.len().min(limits.header_bytes_max)];
    while let Some(found) = memchr::memchr2(b'\n', 0, &allowed[progress.searched..]) {
        let at = progress.searched + found;
        if allowed[at] == 0 {
            return Err(CodecError::NulInHead);
        }
        let line = without_return(&allowed[progress.line..at]);
        if line.is_empty() {
            let (_, headers) = read_head(&input[..=at], version)?;
            progress.body_bytes = content_length(headers, limits.body_bytes_max)?;
            (progress.body, progress.searched) = (at + 1, at + 1);
            return Ok(true);
        }
        if progress.lines == 0 {
            command(line)?;
        } else if progress.lines > limits.headers_max {
            return Err(CodecError::TooManyHeaders(limits.headers_max));
        }
        progress.lines += 1;
        (progress.line, progress.searched) = (at + 1, at + 1);
    }
    progress.searched = allowed.len();
    if progress.lines == 0 && allowed.len() > COMMAND_BYTES_MAX + 1 {
        return Err(unknown(allowed));
    }
    if input.len() >= limits.header_bytes_max {
        return Err(CodecError::HeadTooLarge(limits.header_bytes_max));
    }
    Ok(false)
}

/// Looks for the NUL behind the body; None where it has not come.
fn find_end(input: &[u8], progress: &mut Progress, limits: &Limits) -> Result<Option<usize>, CodecError> {
    let body = &input[progress.body..];
    if let Some(bytes) = progress.body_bytes {
        return match body.get(bytes) {
            None => Ok(None),
            Some(0) => Ok(Some(progress.body + bytes)),
            Some(_) => Err(CodecError::BodyNotEnded),
        };
    }
    let found = memchr::memchr(0, &input[progress.searched..]).map(|found| progress.searched + found);
    progress.searched = input.len();
    if found.map_or(body.len(), |end| end - progress.body) > limits.body_bytes_max {
        return Err(CodecError::BodyTooLarge(limits.body_bytes_max));
    }
    Ok(found)
}

/// Reads a head, to its empty line.
fn read_head(head: &[u8], version: Version) -> Result<(Command, Headers<'_>), CodecError> {
    let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let command = command(without_return(&head[..end]))?;
    let lines = head.get(end + 1..).unwrap_or_default();
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    let headers = Headers::of_client(without_return(lines), command, version);
    Ok((command, headers))
}

/// What the headers claim of the body; checks the lines on the way.
fn content_length(headers: Headers<'_>, body_bytes_max: usize) -> Result<Option<usize>, CodecError> {
    for line in headers.raw().split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line = without_return(line);
        if memchr::memchr(b':', line).is_none() {
            return Err(CodecError::HeaderWithoutColon);
        }
        if memchr::memchr(b'\r', line).is_some() {
            return Err(CodecError::CarriageReturn);
        }
        if headers.is_escaped() && !is_escaped(line) {
            return Err(CodecError::Escape);
        }
    }
    let Some(header) = headers.lines().find(|header| header.name == b"content-length") else { return Ok(None) };
    // RabbitMQ takes spaces around it in any version.
    let digits = header.value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(CodecError::ContentLength);
    }
    let bytes = digits.iter().try_fold(0_usize, |bytes, digit| {
        bytes.checked_mul(10)?.checked_add(usize::from(digit - b'0')).filter(|bytes| *bytes <= body_bytes_max)
    });
    bytes.map(Some).ok_or(CodecError::BodyTooLarge(body_bytes_max))
}

fn command(line: &[u8]) -> Result<Command, CodecError> {
    Command::read(line).ok_or_else(|| unknown(line))
}

fn unknown(line: &[u8]) -> CodecError {
    let shown = &line[..line.len().min(COMMAND_SHOWN_BYTES_MAX)];
    CodecError::UnknownCommand(shown.escape_ascii().to_string())
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
