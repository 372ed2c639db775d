//! The route table: every route of this API, and nothing else decides which exist.

use super::resource::{
    HOST, IMAGE, JOB, NETWORK, Nothing, TOKEN, USD, USER, VM, account, event, health, host, image, job, network, operation_log, repository,
    specification, statistics, summary, token, usd, user, vm, vm_adopt, vm_change, vm_console, vm_create, vm_view,
};
use super::route::Method::{Get, Post};
use super::route::Reply::{Keyed, Object, OneOrList};
use super::route::{Offer, Route, TypeSchema};
use super::upload;
use crate::access::Access;

/// Every route.
pub(super) fn routes() -> Vec<Route> {
    [vms(), hosts(), images(false), images(true), repositories(), networks(), usds(), volumes()]
        .into_iter()
        .chain([specifications(), all_statistics(), jobs(), events(), users(), tokens(), security_groups(), cluster_resources()])
        .flatten()
        .collect()
}

fn vms() -> Vec<Route> {
    let vm = Keyed("vm", TypeSchema::of::<vm_view::VmDetail<'_>>());
    let log = Object(TypeSchema::of::<vm_console::ConsoleLog>());
    let console = Keyed("console", TypeSchema::of::<vm_console::Console>());
    let statistics_of_vm = OneOrList(TypeSchema::of::<statistics::VmStatistics<'_>>());
    let mut routes = vec![
        Route::list::<_, vm_view::VmView<'_>, _, _>(
            "/v1/vm/list",
            "VMs; unmanaged ones, and those in the trash (status deleted), included",
            vm::list,
        )
        .cached(),
        Route::read("/v1/vm/inspect", "One VM with NICs, disks and metadata", vm, vm::inspect).cached(),
        Route::create::<vm_create::CreateVm, vm_view::VmDetail<'_>>("/v1/vm/create", "Make a VM and start it"),
        Route::change::<vm_change::StartVm>("/v1/vm/start", "Switch a VM on"),
        Route::change::<vm_change::StopVm>("/v1/vm/stop", "Switch a VM off"),
        Route::change::<vm_change::RebootVm>("/v1/vm/reboot", "Restart a VM through its guest"),
        Route::change::<vm_change::ResetVm>("/v1/vm/reset", "Press the reset button of a VM"),
        Route::change::<vm_change::PauseVm>("/v1/vm/pause", "Hold the processors of a VM"),
        Route::change::<vm_change::ResumeVm>("/v1/vm/resume", "Let the processors of a paused VM run"),
        Route::change::<vm_change::UpdateVm>("/v1/vm/update", "Change name, description, flags or metadata of a VM"),
        Route::change::<vm_change::ResizeVm>("/v1/vm/resize", "Change cpu and memory of a VM"),
        Route::change::<vm_change::ConfirmResize>("/v1/vm/resize/confirm", "Give up the way back from a resize"),
        Route::change::<vm_change::RevertResize>("/v1/vm/resize/revert", "Go back to cpu and memory from before a resize"),
        Route::change::<vm_change::DeleteVm>("/v1/vm/delete", "Remove a VM and its root disk, or put it into the trash"),
        Route::change::<vm_adopt::RecoverVm>("/v1/vm/recover", "Take a VM out of the trash"),
        Route::change::<vm_adopt::ExpungeVm>("/v1/vm/expunge", "Remove a VM that is in the trash, disks included"),
        Route::change::<vm_adopt::AdoptVm>("/v1/vm/adopt", "Take over an unmanaged VM as it is"),
        Route::change::<vm_adopt::ReleaseVm>("/v1/vm/release", "Give up a VM: it runs on, unmanaged, with its disks"),
        Route::read("/v1/vm/console/log", "Last lines of the serial console", log, vm_console::log).access(Access::Console),
        Route::read("/v1/vm/console/inspect", "Where the screen of a running VM is", console, vm_console::inspect).access(Access::Console),
        Route::read("/v1/vm/statistics", "Statistics of VMs", statistics_of_vm, statistics::of_vm),
        Route::read("/v1/vm/statistic", "The same as /v1/vm/statistics", statistics_of_vm, statistics::of_vm),
    ];
    let later = [
        (Post, "/v1/vm/suspend"),
        (Post, "/v1/vm/interface/create"),
        (Post, "/v1/vm/interface/delete"),
        (Post, "/v1/vm/interface/update"),
        (Get, "/v1/vm/interface/list"),
        (Post, "/v1/vm/usd/attach"),
        (Post, "/v1/vm/usd/detach"),
        (Get, "/v1/vm/usd/list"),
        (Post, "/v1/vm/snapshot/create"),
        (Get, "/v1/vm/snapshot/list"),
        (Get, "/v1/vm/snapshot/inspect"),
        (Post, "/v1/vm/snapshot/revert"),
        (Post, "/v1/vm/snapshot/delete"),
        (Post, "/v1/vm/image/create"),
        (Post, "/v1/vm/password/update"),
    ];
    routes.extend(later.map(|(method, path)| Route::not_built(method, path).about(&VM)));
    routes
}

fn hosts() -> Vec<Route> {
    let host = Keyed("host", TypeSchema::of::<host::HostView<'_>>());
    let health = Keyed("health", TypeSchema::of::<health::HealthView<'_>>());
    let host_statistics = Object(TypeSchema::of::<statistics::HostStatistics<'_>>());
    let of_vms = |path, summary| Route::list::<_, statistics::VmLoad<'_>, _, _>(path, summary, statistics::of_host_vms);
    let mut routes = vec![
        Route::list::<_, host::HostView<'_>, _, _>("/v1/host/list", "Hosts: this one", host::list),
        Route::read("/v1/host/inspect", "This host", host, host::inspect),
        Route::read("/v1/host/health/inspect", "Whether the daemon can do its work", health, health::inspect),
        Route::read("/v1/host/statistics", "Statistics of the host", host_statistics, statistics::of_host),
        Route::read("/v1/host/statistic", "The same as /v1/host/statistics", host_statistics, statistics::of_host),
        Route::list::<_, vm_view::VmView<'_>, _, _>("/v1/host/vm/list", "VMs of the host", host::list_vms).cached(),
        of_vms("/v1/host/vm/statistic", "Cpu and memory of the VMs of the host: the newest point, or those of a range"),
        of_vms("/v1/host/vm/statistics", "The same as /v1/host/vm/statistic"),
        Route::not_on_one_node(Post, "/v1/host/create").about(&HOST),
        Route::not_on_one_node(Post, "/v1/host/delete").about(&HOST),
    ];
    let later = ["/v1/host/update", "/v1/host/maintain", "/v1/host/enable"];
    routes.extend(later.map(|path| Route::not_built(Post, path).about(&HOST)));
    routes
}

/// Under their full path, or under its alias.
fn images(is_alias: bool) -> Vec<Route> {
    let path = |long, short| if is_alias { short } else { long };
    let image = Keyed("image", TypeSchema::of::<image::ImageView<'_>>());
    let upload_path = path(upload::PATHS[0], upload::PATHS[1]);
    vec![
        Route::list::<_, image::ImageView<'_>, _, _>(path("/v1/repository/image/list", "/v1/image/list"), "Images", image::list),
        Route::read(path("/v1/repository/image/inspect", "/v1/image/inspect"), "One image", image, image::inspect),
        Route::create::<image::CreateImage, image::ImageView<'_>>(
            path("/v1/repository/image/create", "/v1/image/create"),
            "Fetch an image",
        ),
        Route::change::<image::UpdateImage>(path("/v1/repository/image/update", "/v1/image/update"), "Change what is said about an image"),
        Route::change::<image::DeleteImage>(
            path("/v1/repository/image/delete", "/v1/image/delete"),
            "Remove an image that no VM's disk depends on",
        ),
        Route::upload::<image::UploadImage, image::ImageView<'_>>(upload_path, "Send an image: the body is the file", "image")
            .about(&IMAGE),
    ]
}

fn repositories() -> Vec<Route> {
    let repository = Keyed("repository", TypeSchema::of::<repository::RepositoryView<'_>>());
    let mut routes = vec![
        Route::list::<_, repository::RepositoryView<'_>, _, _>("/v1/repository/list", "Image repositories", repository::list),
        Route::read("/v1/repository/inspect", "One image repository", repository, repository::inspect),
    ];
    routes.extend(["/v1/repository/create", "/v1/repository/update", "/v1/repository/delete"].map(|path| Route::not_built(Post, path)));
    routes
}

fn networks() -> Vec<Route> {
    let network = Keyed("network", TypeSchema::of::<network::NetworkView<'_>>());
    let mut routes = vec![
        Route::list::<_, network::NetworkView<'_>, _, _>("/v1/network/list", "Networks", network::list),
        Route::read("/v1/network/inspect", "One network", network, network::inspect),
    ];
    let later = [
        (Post, "/v1/network/create"),
        (Post, "/v1/network/update"),
        (Post, "/v1/network/delete"),
        (Post, "/v1/network/dhcp/enable"),
        (Post, "/v1/network/dhcp/disable"),
        (Get, "/v1/network/dhcp/list"),
        (Get, "/v1/network/mac_address/list"),
        (Get, "/v1/network/mac_address/inspect"),
        (Post, "/v1/network/mac_address/create"),
        (Post, "/v1/network/mac_address/delete"),
        (Post, "/v1/network/vip/create"),
        (Get, "/v1/network/vip/list"),
        (Get, "/v1/network/vip/inspect"),
        (Post, "/v1/network/vip/delete"),
        (Get, "/v1/network/switch/list"),
        (Post, "/v1/network/switch/gateway/connect"),
        (Post, "/v1/network/switch/gateway/disconnect"),
    ];
    routes.extend(later.map(|(method, path)| Route::not_built(method, path).about(&NETWORK)));
    routes
}

fn usds() -> Vec<Route> {
    let usd = Keyed("usd", TypeSchema::of::<usd::UsdView<'_>>());
    let mut routes = vec![
        Route::list::<_, usd::UsdView<'_>, _, _>("/v1/usd/list", "Disks", usd::list),
        Route::read("/v1/usd/inspect", "One disk", usd, usd::inspect),
        Route::change::<usd::DeleteUsd>("/v1/usd/delete", "Remove a disk that no VM owns"),
    ];
    let later = [
        (Post, "/v1/usd/create"),
        (Post, "/v1/usd/attach"),
        (Post, "/v1/usd/detach"),
        (Post, "/v1/usd/resize"),
        (Post, "/v1/usd/update"),
        (Post, "/v1/usd/snapshot/create"),
        (Get, "/v1/usd/snapshot/list"),
        (Get, "/v1/usd/snapshot/inspect"),
        (Post, "/v1/usd/snapshot/revert"),
        (Post, "/v1/usd/snapshot/delete"),
    ];
    routes.extend(later.map(|(method, path)| Route::not_built(method, path).about(&USD)));
    routes
}

/// The other name of disks; its objects carry their older field names too.
fn volumes() -> Vec<Route> {
    let volume = Keyed("volume", TypeSchema::of::<usd::VolumeView<'_>>());
    let mut routes = vec![
        Route::list::<_, usd::VolumeView<'_>, _, _>("/v1/volume/list", "Disks, as /v1/usd/list", usd::list_volumes),
        Route::read("/v1/volume/inspect", "One disk, as /v1/usd/inspect", volume, usd::inspect_volume),
        Route::change::<usd::DeleteUsd>("/v1/volume/delete", "Remove a disk, as /v1/usd/delete"),
    ];
    let later = [
        (Post, "/v1/volume/create"),
        (Post, "/v1/volume/attach"),
        (Post, "/v1/volume/detach"),
        (Post, "/v1/volume/resize"),
        (Post, "/v1/volume/update"),
        (Post, "/v1/volume/snapshot/create"),
        (Get, "/v1/volume/snapshot/list"),
        (Get, "/v1/volume/snapshot/inspect"),
        (Post, "/v1/volume/snapshot/revert"),
        (Post, "/v1/volume/snapshot/delete"),
    ];
    routes.extend(later.map(|(method, path)| Route::not_built(method, path).about(&USD)));
    routes
}

fn specifications() -> Vec<Route> {
    use specification::{CreateSpecification, DeleteSpecification, SpecificationView, UpdateSpecification};
    let shape = Keyed("specification", TypeSchema::of::<SpecificationView<'_>>());
    vec![
        Route::list::<_, SpecificationView<'_>, _, _>("/v1/specification/list", "Cpu and memory shapes", specification::list),
        Route::read("/v1/specification/inspect", "One cpu and memory shape", shape, specification::inspect),
        Route::create::<CreateSpecification, SpecificationView<'_>>("/v1/specification/create", "Make a cpu and memory shape"),
        Route::change::<UpdateSpecification>("/v1/specification/update", "Change a shape; VMs stay as they are"),
        Route::change::<DeleteSpecification>("/v1/specification/delete", "Remove a shape that no VM was made from"),
    ]
}

fn all_statistics() -> Vec<Route> {
    let of_vm = Keyed("statistics", TypeSchema::of::<statistics::VmStatistics<'_>>());
    let of_host = Keyed("statistics", TypeSchema::of::<statistics::HostStatistics<'_>>());
    let busiest = super::route::Reply::List(TypeSchema::of::<statistics::VmLoad<'_>>());
    let whole = Keyed("summary", TypeSchema::of::<summary::Summary>());
    let (list, of_one, of_this) = ("The busiest VMs, by their average over the range", "Statistics of one VM", "Statistics of the host");
    vec![
        Route::read("/v1/statistics/vm/list", list, busiest, statistics::list_vms),
        Route::read("/v1/statistics/vm/inspect", of_one, of_vm, statistics::inspect_vm),
        Route::read("/v1/statistics/host/inspect", of_this, of_host, statistics::inspect_host),
        Route::read("/v1/statistics/summary/inspect", "The node in numbers", whole, summary::inspect),
        Route::read("/v1/statistic/vm/list", "The same as /v1/statistics/vm/list", busiest, statistics::list_vms),
        Route::read("/v1/statistic/vm/inspect", "The same as /v1/statistics/vm/inspect", of_vm, statistics::inspect_vm),
        Route::read("/v1/statistic/host/inspect", "The same as /v1/statistics/host/inspect", of_host, statistics::inspect_host),
        Route::read("/v1/statistic/summary/inspect", "The same as /v1/statistics/summary/inspect", whole, summary::inspect),
    ]
}

fn jobs() -> Vec<Route> {
    use job::{CancelJob, CanceledJob, JobView};
    let one_job = Keyed("job", TypeSchema::of::<JobView<'_>>());
    let row = Keyed("operation_log", TypeSchema::of::<operation_log::OperationView<'_>>());
    let canceled = Object(TypeSchema::of::<CanceledJob>());
    let cancel = "Stop a job at its next safe point";
    vec![
        Route::list::<_, JobView<'_>, _, _>("/v1/job/list", "Jobs, newest first", job::list),
        Route::read("/v1/job/inspect", "One job", one_job, job::inspect),
        Route::action::<CancelJob, _, _>("/v1/job/cancel", cancel, Offer::Action, canceled, job::cancel).about(&JOB),
        Route::list::<_, operation_log::OperationView<'_>, _, _>("/v1/operation_log/list", "Who asked for what", operation_log::list)
            .access(Access::Log),
        Route::read("/v1/operation_log/inspect", "One row of the operation log", row, operation_log::inspect).access(Access::Log),
    ]
}

fn events() -> Vec<Route> {
    use event::{EventListData, EventStreamQuery, EventView};
    let page = Object(TypeSchema::of::<EventListData<'_>>());
    vec![
        Route::read("/v1/event/list", "What happened after a cursor, in order", page, event::list),
        Route::stream::<EventStreamQuery, EventView<'_>>("/v1/event/stream", "What happens, as server-sent events"),
    ]
}

fn users() -> Vec<Route> {
    let session = Object(TypeSchema::of::<user::SessionView<'_>>());
    let nothing = Object(TypeSchema::of::<user::Empty>());
    let changed = Object(TypeSchema::of::<account::ChangedUser>());
    let one_user = || Keyed("user", TypeSchema::of::<user::UserView<'_>>());
    let mut routes = vec![
        Route::action("/v1/user/login", "Open a session", Offer::LogIn, session, user::log_in).about(&USER),
        Route::action("/v1/user/logout", "End the session", Offer::Session, nothing, user::log_out).about(&USER),
        Route::action("/v1/user/refresh", "Exchange the token for a new one", Offer::Session, session, user::refresh).about(&USER),
        Route::read("/v1/user/inspect", "Who the token stands for; for an admin any user", one_user(), user::inspect).access(Access::Own),
        Route::list::<Nothing, user::UserView<'_>, _, _>("/v1/user/list", "Users", user::list).access(Access::Administer),
        Route::action("/v1/user/create", "Make a user", Offer::Action, one_user(), account::create).about(&USER).access(Access::Administer),
        Route::action("/v1/user/update", "Change role or state of a user", Offer::Action, changed, account::update)
            .about(&USER)
            .access(Access::Administer),
        Route::action("/v1/user/delete", "Remove a user and all its tokens", Offer::Action, changed, account::delete)
            .about(&USER)
            .access(Access::Administer),
        Route::action(
            "/v1/user/password/update",
            "Change the own password; an admin sets any",
            Offer::Action,
            changed,
            account::set_password,
        )
        .about(&USER)
        .access(Access::Own),
        Route::list::<Nothing, account::RefusalView, _, _>("/v1/user/refusal/list", "Who was refused and why", account::list_refusals)
            .access(Access::Administer),
        Route::list::<Nothing, user::TenantView, _, _>("/v1/tenant/list", "Tenants: the one of this node", user::list_tenants),
        Route::not_on_one_node(Get, "/v1/tenant/inspect"),
    ];
    routes.extend(["/v1/tenant/create", "/v1/tenant/update", "/v1/tenant/delete"].map(|path| Route::not_on_one_node(Post, path)));
    routes
}

fn tokens() -> Vec<Route> {
    let made = Keyed("token", TypeSchema::of::<token::CreatedToken>());
    let gone = Object(TypeSchema::of::<token::DeletedToken>());
    let action = Offer::Action;
    vec![
        Route::action("/v1/token/create", "Make a token for a program; its secret is shown once", action, made, token::create)
            .about(&TOKEN)
            .access(Access::Own),
        Route::list::<token::TokenListQuery, token::TokenView, _, _>(
            "/v1/token/list",
            "Tokens, the own ones; for an admin all",
            token::list,
        )
        .access(Access::Own),
        Route::action("/v1/token/delete", "Revoke a token", action, gone, token::delete).about(&TOKEN).access(Access::Own),
    ]
}

fn security_groups() -> Vec<Route> {
    let later = [
        (Get, "/v1/security_group/list"),
        (Get, "/v1/security_group/inspect"),
        (Post, "/v1/security_group/create"),
        (Post, "/v1/security_group/update"),
        (Post, "/v1/security_group/delete"),
        (Post, "/v1/security_group/rule/create"),
        (Get, "/v1/security_group/rule/list"),
        (Post, "/v1/security_group/rule/delete"),
        (Post, "/v1/security_group/interface/attach"),
        (Post, "/v1/security_group/interface/detach"),
    ];
    later.map(|(method, path)| Route::not_built(method, path)).into()
}

/// Object storage and load balancers belong to a cluster.
fn cluster_resources() -> Vec<Route> {
    let mut routes = ["/v1/usm/list", "/v1/vsm/list", "/v1/load_balancer/list"].map(Route::always_empty).into_iter().collect::<Vec<_>>();
    let inspects = ["/v1/usm/inspect", "/v1/vsm/inspect", "/v1/load_balancer/inspect"];
    routes.extend(inspects.map(|path| Route::not_on_one_node(Get, path)));
    let changes = [
        "/v1/usm/create",
        "/v1/usm/update",
        "/v1/usm/delete",
        "/v1/vsm/create",
        "/v1/vsm/update",
        "/v1/vsm/delete",
        "/v1/load_balancer/create",
        "/v1/load_balancer/update",
        "/v1/load_balancer/delete",
    ];
    routes.extend(changes.map(|path| Route::not_on_one_node(Post, path)));
    routes
}
