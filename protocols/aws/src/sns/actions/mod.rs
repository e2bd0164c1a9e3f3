//! The actions: one file each.

mod add_permission;
mod check_if_phone_number_is_opted_out;
mod confirm_subscription;
mod create_platform_application;
mod create_platform_endpoint;
mod create_sms_sandbox_phone_number;
mod create_topic;
mod delete_endpoint;
mod delete_platform_application;
mod delete_sms_sandbox_phone_number;
mod delete_topic;
mod get_data_protection_policy;
mod get_endpoint_attributes;
mod get_platform_application_attributes;
mod get_sms_attributes;
mod get_sms_sandbox_account_status;
mod get_subscription_attributes;
mod get_topic_attributes;
mod list_endpoints_by_platform_application;
mod list_origination_numbers;
mod list_phone_numbers_opted_out;
mod list_platform_applications;
mod list_sms_sandbox_phone_numbers;
mod list_subscriptions;
mod list_subscriptions_by_topic;
mod list_tags_for_resource;
mod list_topics;
mod opt_in_phone_number;
mod publish;
mod publish_batch;
mod put_data_protection_policy;
mod remove_permission;
mod set_endpoint_attributes;
mod set_platform_application_attributes;
mod set_sms_attributes;
mod set_subscription_attributes;
mod set_topic_attributes;
mod subscribe;
mod tag_resource;
mod unsubscribe;
mod untag_resource;
mod verify_sms_sandbox_phone_number;

use self::add_permission::AddPermission;
use self::check_if_phone_number_is_opted_out::CheckIfPhoneNumberIsOptedOut;
use self::confirm_subscription::ConfirmSubscription;
use self::create_platform_application::CreatePlatformApplication;
use self::create_platform_endpoint::CreatePlatformEndpoint;
use self::create_sms_sandbox_phone_number::CreateSMSSandboxPhoneNumber;
use self::create_topic::CreateTopic;
use self::delete_endpoint::DeleteEndpoint;
use self::delete_platform_application::DeletePlatformApplication;
use self::delete_sms_sandbox_phone_number::DeleteSMSSandboxPhoneNumber;
use self::delete_topic::DeleteTopic;
use self::get_data_protection_policy::GetDataProtectionPolicy;
use self::get_endpoint_attributes::GetEndpointAttributes;
use self::get_platform_application_attributes::GetPlatformApplicationAttributes;
use self::get_sms_attributes::GetSMSAttributes;
use self::get_sms_sandbox_account_status::GetSMSSandboxAccountStatus;
use self::get_subscription_attributes::GetSubscriptionAttributes;
use self::get_topic_attributes::GetTopicAttributes;
use self::list_endpoints_by_platform_application::ListEndpointsByPlatformApplication;
use self::list_origination_numbers::ListOriginationNumbers;
use self::list_phone_numbers_opted_out::ListPhoneNumbersOptedOut;
use self::list_platform_applications::ListPlatformApplications;
use self::list_sms_sandbox_phone_numbers::ListSMSSandboxPhoneNumbers;
use self::list_subscriptions::ListSubscriptions;
use self::list_subscriptions_by_topic::ListSubscriptionsByTopic;
use self::list_tags_for_resource::ListTagsForResource;
use self::list_topics::ListTopics;
use self::opt_in_phone_number::OptInPhoneNumber;
use self::publish::Publish;
use self::publish_batch::PublishBatch;
use self::put_data_protection_policy::PutDataProtectionPolicy;
use self::remove_permission::RemovePermission;
use self::set_endpoint_attributes::SetEndpointAttributes;
use self::set_platform_application_attributes::SetPlatformApplicationAttributes;
use self::set_sms_attributes::SetSMSAttributes;
use self::set_subscription_attributes::SetSubscriptionAttributes;
use self::set_topic_attributes::SetTopicAttributes;
use self::subscribe::Subscribe;
use self::tag_resource::TagResource;
use self::unsubscribe::Unsubscribe;
use self::untag_resource::UntagResource;
use self::verify_sms_sandbox_phone_number::VerifySMSSandboxPhoneNumber;
use crate::action::{Action, Entry, perform};

/// All of them, in the order of the alphabet.
pub(crate) static ACTIONS: &[Entry] = &[
    Entry { name: AddPermission::NAME, run: |input, call| perform::<AddPermission<'_>>(input, call) },
    Entry {
        name: CheckIfPhoneNumberIsOptedOut::NAME,
        run: |input, call| perform::<CheckIfPhoneNumberIsOptedOut<'_>>(input, call),
    },
    Entry { name: ConfirmSubscription::NAME, run: |input, call| perform::<ConfirmSubscription<'_>>(input, call) },
    Entry {
        name: CreatePlatformApplication::NAME,
        run: |input, call| perform::<CreatePlatformApplication<'_>>(input, call),
    },
    Entry { name: CreatePlatformEndpoint::NAME, run: |input, call| perform::<CreatePlatformEndpoint<'_>>(input, call) },
    Entry {
        name: CreateSMSSandboxPhoneNumber::NAME,
        run: |input, call| perform::<CreateSMSSandboxPhoneNumber<'_>>(input, call),
    },
    Entry { name: CreateTopic::NAME, run: |input, call| perform::<CreateTopic<'_>>(input, call) },
    Entry { name: DeleteEndpoint::NAME, run: |input, call| perform::<DeleteEndpoint<'_>>(input, call) },
    Entry {
        name: DeletePlatformApplication::NAME,
        run: |input, call| perform::<DeletePlatformApplication<'_>>(input, call),
    },
    Entry {
        name: DeleteSMSSandboxPhoneNumber::NAME,
        run: |input, call| perform::<DeleteSMSSandboxPhoneNumber<'_>>(input, call),
    },
    Entry { name: DeleteTopic::NAME, run: |input, call| perform::<DeleteTopic<'_>>(input, call) },
    Entry {
        name: GetDataProtectionPolicy::NAME,
        run: |input, call| perform::<GetDataProtectionPolicy<'_>>(input, call),
    },
    Entry { name: GetEndpointAttributes::NAME, run: |input, call| perform::<GetEndpointAttributes<'_>>(input, call) },
    Entry {
        name: GetPlatformApplicationAttributes::NAME,
        run: |input, call| perform::<GetPlatformApplicationAttributes<'_>>(input, call),
    },
    Entry { name: GetSMSAttributes::NAME, run: |input, call| perform::<GetSMSAttributes<'_>>(input, call) },
    Entry {
        name: GetSMSSandboxAccountStatus::NAME,
        run: |input, call| perform::<GetSMSSandboxAccountStatus<'_>>(input, call),
    },
    Entry {
        name: GetSubscriptionAttributes::NAME,
        run: |input, call| perform::<GetSubscriptionAttributes<'_>>(input, call),
    },
    Entry { name: GetTopicAttributes::NAME, run: |input, call| perform::<GetTopicAttributes<'_>>(input, call) },
    Entry {
        name: ListEndpointsByPlatformApplication::NAME,
        run: |input, call| perform::<ListEndpointsByPlatformApplication<'_>>(input, call),
    },
    Entry { name: ListOriginationNumbers::NAME, run: |input, call| perform::<ListOriginationNumbers<'_>>(input, call) },
    Entry {
        name: ListPhoneNumbersOptedOut::NAME,
        run: |input, call| perform::<ListPhoneNumbersOptedOut<'_>>(input, call),
    },
    Entry {
        name: ListPlatformApplications::NAME,
        run: |input, call| perform::<ListPlatformApplications<'_>>(input, call),
    },
    Entry {
        name: ListSMSSandboxPhoneNumbers::NAME,
        run: |input, call| perform::<ListSMSSandboxPhoneNumbers<'_>>(input, call),
    },
    Entry { name: ListSubscriptions::NAME, run: |input, call| perform::<ListSubscriptions<'_>>(input, call) },
    Entry {
        name: ListSubscriptionsByTopic::NAME,
        run: |input, call| perform::<ListSubscriptionsByTopic<'_>>(input, call),
    },
    Entry { name: ListTagsForResource::NAME, run: |input, call| perform::<ListTagsForResource<'_>>(input, call) },
    Entry { name: ListTopics::NAME, run: |input, call| perform::<ListTopics<'_>>(input, call) },
    Entry { name: OptInPhoneNumber::NAME, run: |input, call| perform::<OptInPhoneNumber<'_>>(input, call) },
    Entry { name: Publish::NAME, run: |input, call| perform::<Publish<'_>>(input, call) },
    Entry { name: PublishBatch::NAME, run: |input, call| perform::<PublishBatch<'_>>(input, call) },
    Entry {
        name: PutDataProtectionPolicy::NAME,
        run: |input, call| perform::<PutDataProtectionPolicy<'_>>(input, call),
    },
    Entry { name: RemovePermission::NAME, run: |input, call| perform::<RemovePermission<'_>>(input, call) },
    Entry { name: SetEndpointAttributes::NAME, run: |input, call| perform::<SetEndpointAttributes<'_>>(input, call) },
    Entry {
        name: SetPlatformApplicationAttributes::NAME,
        run: |input, call| perform::<SetPlatformApplicationAttributes<'_>>(input, call),
    },
    Entry { name: SetSMSAttributes::NAME, run: |input, call| perform::<SetSMSAttributes<'_>>(input, call) },
    Entry {
        name: SetSubscriptionAttributes::NAME,
        run: |input, call| perform::<SetSubscriptionAttributes<'_>>(input, call),
    },
    Entry { name: SetTopicAttributes::NAME, run: |input, call| perform::<SetTopicAttributes<'_>>(input, call) },
    Entry { name: Subscribe::NAME, run: |input, call| perform::<Subscribe<'_>>(input, call) },
    Entry { name: TagResource::NAME, run: |input, call| perform::<TagResource<'_>>(input, call) },
    Entry { name: Unsubscribe::NAME, run: |input, call| perform::<Unsubscribe<'_>>(input, call) },
    Entry { name: UntagResource::NAME, run: |input, call| perform::<UntagResource<'_>>(input, call) },
    Entry {
        name: VerifySMSSandboxPhoneNumber::NAME,
        run: |input, call| perform::<VerifySMSSandboxPhoneNumber<'_>>(input, call),
    },
];
