//! Make a VM: reserve its addresses, make its disks, define it, start it.

use super::delete_vm::remove_domain;
use super::domain::{device_name, domain_of};
use super::findings::Findings;
use super::{
    AfterRestart, CreateVmInput, NicInput, Outputs, PlanView, Planned, RootSource, Shape, Step, StepContext, Verb, address, check, seed,
};
use crate::error::ErrorRecord;
use crate::model::{
    BootSource, DEFAULT_TENANT_UUID, DesiredPower, DhcpReservation, Firmware, Image, ImageFormat, ImageStatus, Named, ResourceKey,
    ResourceType, Snapshot, Timestamp, VerbKind, VmOrigin, VmPhase, VmRecord, Volume, VolumeStatus,
};
use crate::port::{DomainSpec, VOLUMES_POOL, VolumeSpec, Write};
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// The plan of a create.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateVm {
    /// The VM as it will be.
    record: Arc<VmRecord>,
    /// Its disks in device order.
    volumes: Vec<Arc<Volume>>,
    /// Path and format of the image the root disk is a child of.
    backing: Option<(String, String)>,
    /// A root disk that existed before and must outlive a failed create.
    given_root: Option<Uuid>,
    is_started: bool,
}

struct Root {
    boot: BootSource,
    image: Option<Named>,
    firmware: Option<Firmware>,
    /// Image the root disk is a child of, and the least size that gives.
    backing: Option<(String, String)>,
    backing_image_uuid: Option<Uuid>,
    least_bytes: u64,
    given: Option<Arc<Volume>>,
}

pub(super) fn plan(input: &CreateVmInput, view: PlanView<'_>) -> Result<Planned> {
    let mut findings = Findings::default();
    let planned = assess(input, &view, &mut findings);
    findings.first_or(planned)
}

/// Every reason at once why the VM cannot be made here, and its plan if there is none.
pub(super) fn assess(input: &CreateVmInput, view: &PlanView<'_>, findings: &mut Findings) -> Option<Planned> {
    check_fields(input, view, findings);
    let vm_uuid = findings.take(check::chosen_uuid("vm_uuid", input.vm_uuid, |uuid| view.snapshot.vms.contains_key(&uuid)));
    findings.take(check::hypervisor_is_up(view));
    let shape = findings.take(plan_shape(&input.shape, view));
    findings.take(check::vm_name_is_free(view, &input.vm_name, None));
    let root = findings.take(plan_root(&input.root, view));
    let firmware = input.firmware.or(root.as_ref().and_then(|r| r.firmware)).unwrap_or_default();
    let architecture = findings.take(plan_platform(input, firmware, view));
    if let Some((_, cpu_cores, memory_bytes, _)) = &shape {
        findings.take(super::check_capacity(view, vm_uuid.unwrap_or_default(), *cpu_cores, *memory_bytes));
    }
    let nics = findings.take(plan_nic_inputs(input, view).and_then(|inputs| address::plan_nics(view, &inputs)));
    findings.take(check_count(view));
    let (vm_uuid, root, shape) = (vm_uuid?, root?, shape?);
    let volumes = findings.take(plan_volumes(input, vm_uuid, shape.3, &root, view))?;
    findings.take(super::check_storage(view, volumes.iter().filter(|v| v.create_time == view.now).map(|v| v.storage_bytes).sum()));
    let (specification, cpu_cores, memory_bytes, _) = shape;
    let (nics, architecture) = (nics?, architecture?);
    let record = Arc::new(VmRecord {
        vm_uuid,
        vm_name: input.vm_name.clone(),
        domain_name: domain_name(&input.vm_name, vm_uuid, view.snapshot),
        description: input.description.clone(),
        cpu_cores,
        memory_bytes,
        specification,
        resized_from: None,
        image: root.image.clone(),
        tenant_uuid: DEFAULT_TENANT_UUID,
        user_name: view.caller.user_name.as_str().into(),
        boot: root.boot.clone(),
        firmware,
        architecture: architecture.into(),
        auto_start: input.auto_start,
        locked: false,
        restart_on_crash: input.restart_on_crash,
        has_seed: !input.seed.is_empty(),
        desired_power: DesiredPower::Off,
        expire_time: None,
        volumes: volumes.iter().map(|v| v.volume_uuid).collect(),
        nics,
        metadata: input.metadata.clone(),
        origin: VmOrigin::Created,
        phase: VmPhase::Creating,
        create_time: view.now,
        update_time: view.now,
        start_time: None,
        error: None,
    });
    let mut writes = vec![Write::PutVm(record.clone())];
    writes.extend(volumes.iter().cloned().map(Write::PutVolume));
    let change =
        CreateVm { record, volumes, backing: root.backing, given_root: root.given.map(|v| v.volume_uuid), is_started: input.is_started };
    Some(Planned::new(change, &input.vm_name).with_writes(writes))
}

fn check_count(view: &PlanView<'_>) -> Result<()> {
    let most = view.settings.vms_max;
    if view.snapshot.vms.values().filter(|vm| vm.record.is_some()).count() < most {
        return Ok(());
    }
    Err(fail!(HostInsufficient, "this node holds at most {most} VMs"; "本节点最多 {most} 个虚拟机"))
}

fn check_fields(input: &CreateVmInput, view: &PlanView<'_>, findings: &mut Findings) {
    findings.take(check::name("vm_name", &input.vm_name));
    findings.take(check::description(&input.description));
    findings.take(check::metadata(&input.metadata));
    findings.take(seed::check(&input.seed));
    if input.tenant_uuid.is_some_and(|uuid| uuid != DEFAULT_TENANT_UUID) {
        findings.add(fail!(TenantNotExist));
    }
    let most = view.settings.volumes_max;
    if input.volumes.len() > most {
        findings.add(fail!(ParameterInvalid, "usds must have at most {most} entries"; "usds 最多 {most} 项"));
    }
    let most = view.settings.nics_max;
    if input.nics.as_ref().is_some_and(|nics| nics.len() > most) {
        findings.add(fail!(ParameterInvalid, "interfaces must have at most {most} entries"; "interfaces 最多 {most} 项"));
    }
    for (index, volume) in input.volumes.iter().enumerate() {
        if !volume.volume_name.is_empty() {
            findings.take(check::name(&format!("usds[{index}].usd_name"), &volume.volume_name));
        }
        findings.take(check::disk_size(view, &format!("usds[{index}].storage_size"), volume.storage_bytes));
    }
    if let Some(bytes) = input.root_storage_bytes {
        findings.take(check::disk_size(view, "storage_size", bytes));
    }
    if let RootSource::Kernel { command_line, .. } = &input.root
        && (command_line.len() > 2048 || command_line.chars().any(char::is_control))
    {
        findings.add(fail!(ParameterInvalid,
            "kernel_command_line must have at most 2048 bytes on one line"; "kernel_command_line 最多 2048 字节，且为单行"));
    }
}

fn plan_shape(shape: &Shape, view: &PlanView<'_>) -> Result<(Option<Named>, u32, u64, u64)> {
    let (named, cpu_cores, memory_bytes, storage_bytes) = match shape {
        Shape::Specification(uuid) => {
            let spec = check::specification(view, *uuid)?;
            let named = Named { uuid: spec.specification_uuid, name: spec.specification_name.clone() };
            (Some(named), spec.cpu_cores, spec.memory_bytes, spec.storage_bytes)
        }
        Shape::Custom { cpu_cores, memory_bytes } => (None, *cpu_cores, *memory_bytes, 0),
    };
    check::shape(view, cpu_cores, memory_bytes)?;
    Ok((named, cpu_cores, memory_bytes, storage_bytes))
}

fn ready_image<'a>(view: &PlanView<'a>, image_uuid: Uuid) -> Result<&'a Arc<Image>> {
    let image = check::image(view, image_uuid)?;
    if image.status == ImageStatus::Ready { Ok(image) } else { Err(fail!(ImageNotReady)) }
}

fn expect_format(image: &Image, field: &str, wanted: ImageFormat) -> Result<()> {
    if image.format == wanted {
        return Ok(());
    }
    let (is, wanted) = (image.format.word(), wanted.word());
    Err(
        fail!(ImageFormatInvalid, "{field} needs an image of format {wanted}, this one is {is}"; "{field} 需要 {wanted} 格式的镜像，当前为 {is}"),
    )
}

fn plan_root(source: &RootSource, view: &PlanView<'_>) -> Result<Root> {
    let empty =
        Root { boot: BootSource::Disk, image: None, firmware: None, backing: None, backing_image_uuid: None, least_bytes: 0, given: None };
    let named = |image: &Image| Some(Named { uuid: image.image_uuid, name: image.image_name.clone() });
    match source {
        RootSource::Image(uuid) => {
            let image = ready_image(view, *uuid)?;
            let root = Root { image: named(image), firmware: image.firmware, ..empty };
            match image.format {
                ImageFormat::Qcow2 | ImageFormat::Raw => Ok(Root {
                    backing: Some((image.path.clone(), image.format.word().to_owned())),
                    backing_image_uuid: Some(*uuid),
                    least_bytes: image.virtual_bytes,
                    ..root
                }),
                ImageFormat::Iso => Ok(Root { boot: BootSource::Iso { path: image.path.clone() }, ..root }),
                other => {
                    let word = other.word();
                    Err(fail!(ImageFormatInvalid,
                        "image_uuid names an image of format {word}; give it as kernel_image_uuid or initrd_image_uuid";
                        "image_uuid 指向 {word} 格式的镜像；请用 kernel_image_uuid 或 initrd_image_uuid"))
                }
            }
        }
        RootSource::Volume(uuid) => {
            let volume = view.snapshot.volumes.get(uuid).ok_or_else(|| fail!(VolumeNotExist))?;
            if volume.status != VolumeStatus::Available {
                let name = &volume.volume_name;
                return Err(fail!(VolumeAttached, "{name}"));
            }
            Ok(Root { given: Some(volume.clone()), ..empty })
        }
        RootSource::Kernel { kernel_image_uuid, initrd_image_uuid, command_line } => {
            let kernel = ready_image(view, *kernel_image_uuid)?;
            expect_format(kernel, "kernel_image_uuid", ImageFormat::Kernel)?;
            let initrd = initrd_image_uuid.map(|uuid| ready_image(view, uuid)).transpose()?;
            if let Some(initrd) = initrd {
                expect_format(initrd, "initrd_image_uuid", ImageFormat::Initrd)?;
            }
            let boot = BootSource::Kernel {
                kernel_path: kernel.path.clone(),
                initrd_path: initrd.map(|i| i.path.clone()),
                command_line: command_line.clone(),
            };
            Ok(Root { boot, image: named(kernel), ..empty })
        }
    }
}

/// Architecture, checked together with the firmware against what the host can do.
fn plan_platform(input: &CreateVmInput, firmware: Firmware, view: &PlanView<'_>) -> Result<String> {
    let Some(capabilities) = &view.snapshot.capabilities else {
        return Err(fail!(HypervisorUnavailable, "the host's capabilities are not known yet, try again"; "尚未获知宿主机能力，请重试"));
    };
    let host = &capabilities.architecture;
    let wanted = input.architecture.as_ref().unwrap_or(host);
    if wanted != host {
        return Err(fail!(NotSupported, "architecture {wanted}: this node runs {host}"; "架构 {wanted}: 本节点为 {host}"));
    }
    if firmware == Firmware::Uefi && !capabilities.has_uefi {
        return Err(
            fail!(NotSupported, "boot_type uefi: no UEFI firmware is installed on this node"; "boot_type uefi: 本节点未安装 UEFI 固件"),
        );
    }
    Ok(wanted.clone())
}

fn plan_nic_inputs(input: &CreateVmInput, view: &PlanView<'_>) -> Result<Vec<NicInput>> {
    if let Some(nics) = &input.nics {
        return Ok(nics.clone());
    }
    let name = &view.settings.default_network;
    let network = view.snapshot.networks.values().find(|n| !name.is_empty() && n.network_name == *name);
    match network {
        Some(network) => Ok(vec![NicInput { network_uuid: network.network_uuid, ip_address: None, mac_address: None }]),
        None => Err(fail!(ParameterMissing,
            "network_uuid: this node has no default network; name one, or give interfaces: [] for no NIC";
            "network_uuid: 本节点没有默认网络；请指定网络，或用 interfaces: [] 表示无网卡")),
    }
}

fn plan_volumes(input: &CreateVmInput, vm_uuid: Uuid, spec_bytes: u64, root: &Root, view: &PlanView<'_>) -> Result<Vec<Arc<Volume>>> {
    let new = |volume_name: String, storage_bytes: u64, image_uuid: Option<Uuid>, is_root: bool, index: usize| {
        let volume_uuid = Uuid::new_v4();
        let file_name = format!("{volume_uuid}.qcow2");
        Volume {
            volume_uuid,
            volume_name,
            description: String::new(),
            status: VolumeStatus::Creating,
            storage_bytes,
            format: "qcow2".into(),
            pool_name: VOLUMES_POOL.into(),
            path: format!("{}/{file_name}", view.settings.volumes_directory),
            file_name,
            image_uuid,
            is_root,
            vm_uuid: Some(vm_uuid),
            device: device_name(index),
            bus: "virtio".into(),
            tenant_uuid: DEFAULT_TENANT_UUID,
            create_time: view.now,
            update_time: view.now,
        }
    };
    let mut volumes = Vec::new();
    if let Some(given) = &root.given {
        if input.root_storage_bytes.is_some_and(|bytes| bytes != given.storage_bytes) {
            return Err(
                fail!(ParameterInvalid, "storage_size must not be given with root_usd_uuid"; "storage_size 不能与 root_usd_uuid 同时使用"),
            );
        }
        let mut volume = Volume::clone(given);
        volume.status = VolumeStatus::Creating;
        volume.vm_uuid = Some(vm_uuid);
        volume.is_root = true;
        volume.device = device_name(0);
        volumes.push(Arc::new(volume));
    } else {
        let wanted = input.root_storage_bytes.or((spec_bytes > 0).then_some(spec_bytes));
        let least = root.least_bytes;
        if let (Some(asked), true) = (input.root_storage_bytes, least > 0)
            && asked < least
        {
            return Err(fail!(ParameterInvalid,
                    "storage_size must be at least {least} bytes, the size of the image"; "storage_size 至少为镜像大小 {least} 字节"));
        }
        // A specification's size is a wish: an image that is larger wins.
        let bytes = wanted.unwrap_or(0).max(least);
        if bytes > 0 {
            volumes.push(Arc::new(new(format!("{}-root", input.vm_name), bytes.next_multiple_of(512), root.backing_image_uuid, true, 0)));
        }
    }
    for (number, volume) in input.volumes.iter().enumerate() {
        let name = if volume.volume_name.is_empty() { format!("{}-data{}", input.vm_name, number + 1) } else { volume.volume_name.clone() };
        volumes.push(Arc::new(new(name, volume.storage_bytes, None, false, volumes.len())));
    }
    let names: BTreeSet<_> = volumes.iter().map(|v| &v.volume_name).collect();
    if names.len() < volumes.len() {
        return Err(fail!(ParameterInvalid, "usds must have different names"; "usds 的名称不能重复"));
    }
    Ok(volumes)
}

/// The VM's name where libvirt has no domain of that name, else with part of the uuid: names of ours may be changed later, domain names not.
fn domain_name(vm_name: &str, vm_uuid: Uuid, snapshot: &Snapshot) -> String {
    let is_taken = snapshot.vms.values().any(|vm| {
        vm.observed.as_ref().is_some_and(|o| o.domain_name == vm_name) || vm.record.as_ref().is_some_and(|r| r.domain_name == vm_name)
    });
    if is_taken { format!("{vm_name}-{}", &vm_uuid.simple().to_string()[..8]) } else { vm_name.to_owned() }
}

impl CreateVm {
    /// The domain as it will be, for a dry run; without the disk for cloud-init.
    pub(super) fn domain(&self) -> DomainSpec {
        domain_of(&self.record, &self.volumes, None)
    }
}

const RESERVE: Step = Step::light("reserve_addresses");
const DISKS: Step = Step::disk("create_disks");
const DEFINE: Step = Step::light("define");
const START: Step = Step::start("start");

impl CreateVm {
    fn reservations(&self) -> impl Iterator<Item = (Uuid, DhcpReservation)> {
        self.record.nics.iter().filter_map(|nic| {
            let ip_address = nic.ip_address?;
            Some((nic.network_uuid, DhcpReservation { mac_address: nic.mac_address, ip_address, host_name: String::new() }))
        })
    }

    fn seed_path(&self, context: &StepContext) -> Option<String> {
        self.record.has_seed.then(|| format!("{}/{}", context.settings.volumes_directory, seed_file_name(self.record.vm_uuid)))
    }

    async fn create_disks(&self, context: &StepContext) -> Result<()> {
        for volume in self.volumes.iter().filter(|v| Some(v.volume_uuid) != self.given_root) {
            context.check_cancel()?;
            let spec = VolumeSpec {
                pool_name: volume.pool_name.clone(),
                file_name: volume.file_name.clone(),
                storage_bytes: volume.storage_bytes,
                backing: if volume.is_root { self.backing.clone() } else { None },
            };
            context.hypervisor.ensure_volume(&spec).await?;
        }
        if self.record.has_seed {
            let content = seed::disk(self.record.vm_uuid, &self.record.vm_name, &context.carried.seed)?;
            context.hypervisor.ensure_file(VOLUMES_POOL, &seed_file_name(self.record.vm_uuid), content).await?;
        }
        Ok(())
    }

    async fn remove_disks(&self, context: &StepContext) -> Result<()> {
        for volume in self.volumes.iter().filter(|v| Some(v.volume_uuid) != self.given_root) {
            context.hypervisor.remove_volume(&volume.pool_name, &volume.file_name).await?;
        }
        if self.record.has_seed {
            context.hypervisor.remove_volume(VOLUMES_POOL, &seed_file_name(self.record.vm_uuid)).await?;
        }
        Ok(())
    }
}

/// Name of the file that holds a VM's cloud-init disk in the volumes pool.
pub(super) fn seed_file_name(vm_uuid: Uuid) -> String {
    format!("{vm_uuid}-seed.img")
}

#[async_trait]
impl Verb for CreateVm {
    fn kind(&self) -> VerbKind {
        VerbKind::CreateVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.record.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        if self.is_started { &[RESERVE, DISKS, DEFINE, START] } else { &[RESERVE, DISKS, DEFINE] }
    }

    async fn run(&self, step: &'static str, context: &StepContext) -> Result<Value> {
        context.check_cancel()?;
        if step == RESERVE.name {
            for (network_uuid, reservation) in self.reservations() {
                context.hypervisor.ensure_reservation(network_uuid, &reservation).await?;
            }
        } else if step == DISKS.name {
            self.create_disks(context).await?;
        } else if step == DEFINE.name {
            let mut record = VmRecord::clone(&self.record);
            record.phase = VmPhase::Ready;
            context.hypervisor.ensure_defined(&domain_of(&record, &self.volumes, self.seed_path(context).as_deref())).await?;
        } else if step == START.name {
            context.hypervisor.ensure_started(self.record.vm_uuid).await?;
        }
        Ok(Value::Null)
    }

    async fn undo(&self, step: &'static str, context: &StepContext) -> Result<()> {
        let vm_uuid = self.record.vm_uuid;
        if step == RESERVE.name {
            for (network_uuid, reservation) in self.reservations() {
                context.hypervisor.remove_reservation(network_uuid, &reservation).await?;
            }
        } else if step == DISKS.name {
            self.remove_disks(context).await?;
        } else if step == DEFINE.name {
            remove_domain(vm_uuid, context).await?;
        } else if step == START.name {
            context.hypervisor.ensure_destroyed(vm_uuid).await?;
        }
        Ok(())
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, now: Timestamp) -> Vec<Write> {
        let mut record = VmRecord::clone(&self.record);
        record.phase = VmPhase::Ready;
        record.start_time = self.is_started.then_some(now);
        record.desired_power = if self.is_started { DesiredPower::On } else { DesiredPower::Off };
        let in_use = |volume: &Arc<Volume>| {
            let mut volume = Volume::clone(volume);
            volume.status = VolumeStatus::InUse;
            volume.update_time = now;
            Write::PutVolume(Arc::new(volume))
        };
        std::iter::once(Write::PutVm(Arc::new(record))).chain(self.volumes.iter().map(in_use)).collect()
    }

    fn fail(&self, _snapshot: &Snapshot, _error: &ErrorRecord, now: Timestamp) -> Vec<Write> {
        let release = |volume: &Arc<Volume>| {
            if Some(volume.volume_uuid) != self.given_root {
                return Write::DeleteVolume(volume.volume_uuid);
            }
            let mut volume = Volume::clone(volume);
            volume.status = VolumeStatus::Available;
            volume.vm_uuid = None;
            volume.is_root = false;
            volume.device = String::new();
            volume.update_time = now;
            Write::PutVolume(Arc::new(volume))
        };
        std::iter::once(Write::DeleteVm(self.record.vm_uuid)).chain(self.volumes.iter().map(release)).collect()
    }

    fn fail_incompletely(&self, snapshot: &Snapshot, error: &ErrorRecord, now: Timestamp) -> Vec<Write> {
        // Something of it is left: the record stays, in error, so that a delete can clean up.
        let mut writes = self.succeed(snapshot, &Outputs::new(), now);
        if let Some(Write::PutVm(record)) = writes.first_mut() {
            let record = Arc::make_mut(record);
            record.start_time = None;
            record.desired_power = DesiredPower::Off;
            record.error = Some(Box::new(error.clone()));
        }
        writes
    }

    fn after_restart(&self) -> AfterRestart {
        // What cloud-init is told was in memory only, so such a create cannot go on.
        if self.record.has_seed { AfterRestart::Undo } else { AfterRestart::Resume }
    }

    fn is_cancelable(&self) -> bool {
        true
    }
}
