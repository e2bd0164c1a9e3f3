//! Reason codes (MQTT 5.0, 2.4), and the return codes of MQTT 3.1.1.

/// A reason code: 0x80 and above are failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(pub u8);

#[allow(missing_docs, reason = "each is named as in the table of the specification, 2.4")]
impl Reason {
    pub const SUCCESS: Self = Self(0x00);
    pub const NORMAL_DISCONNECTION: Self = Self(0x00);
    pub const GRANTED_QOS_0: Self = Self(0x00);
    pub const GRANTED_QOS_1: Self = Self(0x01);
    pub const GRANTED_QOS_2: Self = Self(0x02);
    pub const DISCONNECT_WITH_WILL: Self = Self(0x04);
    pub const NO_MATCHING_SUBSCRIBERS: Self = Self(0x10);
    pub const NO_SUBSCRIPTION_EXISTED: Self = Self(0x11);
    pub const CONTINUE_AUTHENTICATION: Self = Self(0x18);
    pub const REAUTHENTICATE: Self = Self(0x19);
    pub const UNSPECIFIED_ERROR: Self = Self(0x80);
    pub const MALFORMED_PACKET: Self = Self(0x81);
    pub const PROTOCOL_ERROR: Self = Self(0x82);
    pub const IMPLEMENTATION_SPECIFIC_ERROR: Self = Self(0x83);
    pub const UNSUPPORTED_PROTOCOL_VERSION: Self = Self(0x84);
    pub const CLIENT_IDENTIFIER_NOT_VALID: Self = Self(0x85);
    pub const BAD_USER_NAME_OR_PASSWORD: Self = Self(0x86);
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    pub const SERVER_UNAVAILABLE: Self = Self(0x88);
    pub const SERVER_BUSY: Self = Self(0x89);
    pub const BANNED: Self = Self(0x8A);
    pub const SERVER_SHUTTING_DOWN: Self = Self(0x8B);
    pub const BAD_AUTHENTICATION_METHOD: Self = Self(0x8C);
    pub const KEEP_ALIVE_TIMEOUT: Self = Self(0x8D);
    pub const SESSION_TAKEN_OVER: Self = Self(0x8E);
    pub const TOPIC_FILTER_INVALID: Self = Self(0x8F);
    pub const TOPIC_NAME_INVALID: Self = Self(0x90);
    pub const PACKET_IDENTIFIER_IN_USE: Self = Self(0x91);
    pub const PACKET_IDENTIFIER_NOT_FOUND: Self = Self(0x92);
    pub const RECEIVE_MAXIMUM_EXCEEDED: Self = Self(0x93);
    pub const TOPIC_ALIAS_INVALID: Self = Self(0x94);
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    pub const MESSAGE_RATE_TOO_HIGH: Self = Self(0x96);
    pub const QUOTA_EXCEEDED: Self = Self(0x97);
    pub const ADMINISTRATIVE_ACTION: Self = Self(0x98);
    pub const PAYLOAD_FORMAT_INVALID: Self = Self(0x99);
    pub const RETAIN_NOT_SUPPORTED: Self = Self(0x9A);
    pub const QOS_NOT_SUPPORTED: Self = Self(0x9B);
    pub const USE_ANOTHER_SERVER: Self = Self(0x9C);
    pub const SERVER_MOVED: Self = Self(0x9D);
    pub const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: Self = Self(0x9E);
    pub const CONNECTION_RATE_EXCEEDED: Self = Self(0x9F);
    pub const MAXIMUM_CONNECT_TIME: Self = Self(0xA0);
    pub const SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: Self = Self(0xA1);
    pub const WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: Self = Self(0xA2);
}

impl Reason {
    /// Whether it says that something went wrong.
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }
}

/// Return codes of CONNACK before MQTT 5 (MQTT 3.1.1, 3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectReturn {
    /// Accepted.
    Accepted = 0,
    /// The protocol level is not known.
    UnacceptableVersion = 1,
    /// The client id is not allowed.
    IdentifierRejected = 2,
    /// MQTT is not available.
    ServerUnavailable = 3,
    /// User name or password are malformed or wrong.
    BadCredentials = 4,
    /// Not allowed to connect.
    NotAuthorized = 5,
}

impl ConnectReturn {
    /// The return code with this number.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Accepted,
            1 => Self::UnacceptableVersion,
            2 => Self::IdentifierRejected,
            3 => Self::ServerUnavailable,
            4 => Self::BadCredentials,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }

    /// What a client before 5.0 is told instead of the reason. Reasons without a counterpart become "server unavailable".
    pub const fn from_reason(reason: Reason) -> Self {
        match reason {
            Reason::UNSUPPORTED_PROTOCOL_VERSION => Self::UnacceptableVersion,
            Reason::CLIENT_IDENTIFIER_NOT_VALID => Self::IdentifierRejected,
            Reason::BAD_USER_NAME_OR_PASSWORD => Self::BadCredentials,
            Reason::NOT_AUTHORIZED | Reason::BANNED => Self::NotAuthorized,
            reason if reason.is_error() => Self::ServerUnavailable,
            _ => Self::Accepted,
        }
    }

    /// The reason that says the same.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Accepted => Reason::SUCCESS,
            Self::UnacceptableVersion => Reason::UNSUPPORTED_PROTOCOL_VERSION,
            Self::IdentifierRejected => Reason::CLIENT_IDENTIFIER_NOT_VALID,
            Self::ServerUnavailable => Reason::SERVER_UNAVAILABLE,
            Self::BadCredentials => Reason::BAD_USER_NAME_OR_PASSWORD,
            Self::NotAuthorized => Reason::NOT_AUTHORIZED,
        }
    }
}
