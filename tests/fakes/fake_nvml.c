/* A stand-in for libnvidia-ml.so.1, spoken to by the real pynvml.
 *
 * It tests how answers and refusals of NVML are handled, not hardware. FAKE_NVML picks the scenario:
 *   8xh100      eight healthy GPUs, each with 18 NVLinks into switches
 *   4xa100      four GPUs, each pair joined by NVLinks: 0-1 and 2-3 by 4, the others over PCIe
 *   mig         one A100 split into a 3g.20gb and two 1g.5gb, in a slot of half its width
 *   failing     two GPUs of different models; the second tells XID 48 and 63 and uncorrected ECC errors, throttles, and is lost
 *               for every question from the moment the file that FAKE_NVML_LOST names exists
 *   lost        two GPUs, the second of which fell off the bus
 *   nopower     one T4 that does not answer for its power, its energy, its power limits, its ECC mode, MIG or NVLink
 *   mismatch    the library is newer than the kernel module
 *   nodriver    the library is there, the kernel module is not
 *   nodevices   driver loaded, no GPU
 * Signatures and struct layouts follow NVIDIA's public API reference for NVML. With NVIDIA's nvml.h (of nvidia-nvml-dev on PyPI)
 * on the include path, `gcc -DCHECK_AGAINST_HEADER -fsyntax-only` asserts that the layouts agree. -DWITHOUT_MIG leaves a function
 * out, as an older library lacks functions that a newer pynvml asks for.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef CHECK_AGAINST_HEADER
#include <nvml.h>
#endif

enum {
    OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9, TIMED_OUT = 10, GPU_IS_LOST = 15, MISMATCH = 18
};

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct {
    char bus_id_legacy[16];
    unsigned int domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} pci_info_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct {
    unsigned int multiprocessors, copy_engines, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices;
    unsigned long long memory_mib;
} attributes_t;
typedef struct { unsigned int environment, feature, devtools; } confidential_t;
typedef union {
    double d;
    unsigned int ui;
    unsigned long long ull;
} value_t;
typedef struct {
    unsigned int field, scope;
    long long timestamp, latency_us;
    unsigned int type;
    int result;
    value_t value;
} field_t;
typedef struct {
    unsigned int version;
    unsigned char cluster[16];
    int status;
    unsigned int clique;
    unsigned char state;
    unsigned int health;
} fabric_t;
typedef struct {
    void *device;
    unsigned long long type, data;
    unsigned int gpu_instance, compute_instance;
} event_t;

#ifdef CHECK_AGAINST_HEADER
#define SAME_SIZE(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs), #theirs)
#define SAME_PLACE(ours, field, theirs, their_field) _Static_assert(offsetof(ours, field) == offsetof(theirs, their_field), #theirs "." #their_field)
SAME_SIZE(memory_t, nvmlMemory_t);
SAME_PLACE(memory_t, used, nvmlMemory_t, used);
SAME_SIZE(pci_info_t, nvmlPciInfo_t);
SAME_PLACE(pci_info_t, bus, nvmlPciInfo_t, bus);
SAME_PLACE(pci_info_t, bus_id, nvmlPciInfo_t, busId);
SAME_SIZE(utilization_t, nvmlUtilization_t);
SAME_SIZE(attributes_t, nvmlDeviceAttributes_t);
SAME_PLACE(attributes_t, multiprocessors, nvmlDeviceAttributes_t, multiprocessorCount);
SAME_PLACE(attributes_t, memory_mib, nvmlDeviceAttributes_t, memorySizeMB);
SAME_SIZE(confidential_t, nvmlConfComputeSystemState_t);
SAME_PLACE(confidential_t, feature, nvmlConfComputeSystemState_t, ccFeature);
SAME_SIZE(value_t, nvmlValue_t);
SAME_SIZE(field_t, nvmlFieldValue_t);
SAME_PLACE(field_t, scope, nvmlFieldValue_t, scopeId);
SAME_PLACE(field_t, type, nvmlFieldValue_t, valueType);
SAME_PLACE(field_t, result, nvmlFieldValue_t, nvmlReturn);
SAME_PLACE(field_t, value, nvmlFieldValue_t, value);
SAME_SIZE(fabric_t, nvmlGpuFabricInfo_v2_t);
SAME_PLACE(fabric_t, clique, nvmlGpuFabricInfo_v2_t, cliqueId);
SAME_PLACE(fabric_t, state, nvmlGpuFabricInfo_v2_t, state);
SAME_SIZE(event_t, nvmlEventData_t);
SAME_PLACE(event_t, type, nvmlEventData_t, eventType);
SAME_PLACE(event_t, data, nvmlEventData_t, eventData);
SAME_PLACE(event_t, gpu_instance, nvmlEventData_t, gpuInstanceId);
#define SAME_CODE(ours, theirs) _Static_assert(ours == (int)theirs, #theirs)
SAME_CODE(3, NVML_GPU_FABRIC_STATE_COMPLETED);
SAME_CODE(INVALID_ARGUMENT, NVML_ERROR_INVALID_ARGUMENT);
SAME_CODE(NOT_SUPPORTED, NVML_ERROR_NOT_SUPPORTED);
SAME_CODE(NOT_FOUND, NVML_ERROR_NOT_FOUND);
SAME_CODE(DRIVER_NOT_LOADED, NVML_ERROR_DRIVER_NOT_LOADED);
SAME_CODE(TIMED_OUT, NVML_ERROR_TIMEOUT);
SAME_CODE(GPU_IS_LOST, NVML_ERROR_GPU_IS_LOST);
SAME_CODE(MISMATCH, NVML_ERROR_LIB_RM_VERSION_MISMATCH);
SAME_CODE(8, nvmlEventTypeXidCriticalError);
#else /* the answers: all that follows */

static int is(const char *scenario)
{
    const char *wanted = getenv("FAKE_NVML");
    return wanted != NULL && strcmp(wanted, scenario) == 0;
}

static unsigned int count(void)
{
    return is("8xh100") ? 8 : is("4xa100") ? 4 : is("lost") || is("failing") ? 2 : is("nopower") || is("mig") ? 1 : 0;
}

/* A handle is the device's index plus one, so that none is NULL; that of a MIG device is MIG plus its place. */
enum { MIG = 1000 };

static unsigned int index_of(void *handle) { return (unsigned int)(size_t)handle - 1; }
static int is_mig_device(void *handle) { return (size_t)handle >= MIG; }

static int refuse_unless_answering(void *handle)
{
    const char *sign = getenv("FAKE_NVML_LOST");
    int lost = is("lost") || (is("failing") && sign != NULL && access(sign, F_OK) == 0);
    return lost && index_of(handle) == 1 ? GPU_IS_LOST : OK;
}

static int write_text(char *out, unsigned int size, const char *text)
{
    return snprintf(out, size, "%s", text) < (int)size ? OK : INVALID_ARGUMENT;
}

static int answer_text(void *handle, char *out, unsigned int size, const char *text)
{
    int refusal = refuse_unless_answering(handle);
    return refusal ? refusal : write_text(out, size, text);
}

static int answer_number(void *handle, unsigned int *out, unsigned int number)
{
    *out = number;
    return refuse_unless_answering(handle);
}

static const char *model_of(void *handle)
{
    if (is("nopower")) return "Tesla T4";
    if (is("mig") || is("4xa100")) return "NVIDIA A100-SXM4-40GB";
    return is("failing") && index_of(handle) == 0 ? "NVIDIA L40S" : "NVIDIA H100 80GB HBM3";
}

int nvmlInitWithFlags(unsigned int flags)
{
    (void)flags;
    return is("nodriver") ? DRIVER_NOT_LOADED : is("mismatch") ? MISMATCH : OK;
}

int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code)
{
    switch (code) {
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case TIMED_OUT: return "Timeout";
    case GPU_IS_LOST: return "GPU is lost";
    case MISMATCH: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *out, unsigned int size) { return write_text(out, size, "580.95.05"); }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { *out = 13000; return OK; }

int nvmlSystemGetConfComputeState(confidential_t *out)
{
    memset(out, 0, sizeof *out);
    out->feature = is("8xh100");
    return is("nopower") ? NOT_SUPPORTED : OK;
}

int nvmlDeviceGetCount_v2(unsigned int *out) { *out = count(); return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **out)
{
    if (index >= count()) return INVALID_ARGUMENT;
    *out = (void *)(size_t)(index + 1);
    return OK;
}

/* ---- identity ---- */

static const char *const PARTS[] = {"3g.20gb", "1g.5gb", "1g.5gb"};
static unsigned int part_of(void *handle) { return (unsigned int)((size_t)handle - MIG); }

int nvmlDeviceGetName(void *handle, char *out, unsigned int size)
{
    char text[96];
    if (!is_mig_device(handle)) return answer_text(handle, out, size, model_of(handle));
    snprintf(text, sizeof text, "NVIDIA A100-SXM4-40GB MIG %s", PARTS[part_of(handle)]);
    return write_text(out, size, text);
}

int nvmlDeviceGetUUID(void *handle, char *out, unsigned int size)
{
    char text[64];
    snprintf(text, sizeof text, "%s-00000000-0000-0000-0000-%012u", is_mig_device(handle) ? "MIG" : "GPU",
             is_mig_device(handle) ? part_of(handle) : index_of(handle));
    return answer_text(handle, out, size, text);
}

int nvmlDeviceGetSerial(void *handle, char *out, unsigned int size)
{
    char text[32];
    snprintf(text, sizeof text, "16501230%05u", index_of(handle));
    return is("nopower") ? NOT_SUPPORTED : answer_text(handle, out, size, text);
}

int nvmlDeviceGetBoardPartNumber(void *handle, char *out, unsigned int size) { return answer_text(handle, out, size, "692-2G520-0200-000"); }
int nvmlDeviceGetVbiosVersion(void *handle, char *out, unsigned int size) { return answer_text(handle, out, size, "96.00.89.00.01"); }

int nvmlDeviceGetArchitecture(void *handle, unsigned int *out)
{
    return answer_number(handle, out, is("nopower") ? 6 : is("mig") || is("4xa100") ? 7 : is("failing") && index_of(handle) == 0 ? 8 : 9);
}

/* What a MIG instance has, in MiB. A file that FAKE_NVML_RESPLIT names, once it exists, stands for a GPU whose instances were made anew. */
static unsigned long long part_memory_mib(void *handle) { return part_of(handle) == 0 ? 19968 : 4864; }
static int split_anew(void)
{
    const char *sign = getenv("FAKE_NVML_RESPLIT");
    return sign != NULL && access(sign, F_OK) == 0;
}

int nvmlDeviceGetMemoryInfo(void *handle, memory_t *out)
{
    int l40s = is("failing") && index_of(handle) == 0;
    out->total = is("nopower") ? 16106127360ULL : is("mig") || is("4xa100") ? 42949672960ULL : l40s ? 48305799168ULL : 85520809984ULL;
    out->used = 0;
    if (is_mig_device(handle)) {
        if (split_anew() && part_of(handle) != 0) return NOT_FOUND;
        out->total = part_memory_mib(handle) << 20;
        out->used = (part_of(handle) + 1ULL) << 30;
    }
    out->free = out->total - out->used;
    return refuse_unless_answering(handle);
}

int nvmlDeviceGetPciInfo_v3(void *handle, pci_info_t *out)
{
    memset(out, 0, sizeof *out);
    out->bus = 0x1b + index_of(handle);
    snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", out->bus);
    return refuse_unless_answering(handle);
}

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor)
{
    int ampere = is("mig") || is("4xa100");
    *major = is("nopower") ? 7 : ampere ? 8 : 9;
    *minor = is("nopower") ? 5 : 0;
    return refuse_unless_answering(handle);
}

int nvmlDeviceGetNumGpuCores(void *handle, unsigned int *out) { return answer_number(handle, out, is("mig") ? 6912 : 16896); }

int nvmlDeviceGetEccMode(void *handle, unsigned int *current, unsigned int *pending)
{
    *current = *pending = 1;
    return is("nopower") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

/* Uncorrected errors are type 1; only volatile counts (0) are kept. */
int nvmlDeviceGetTotalEccErrors(void *handle, unsigned int type, unsigned int counter, unsigned long long *out)
{
    (void)counter;
    *out = is("failing") && index_of(handle) == 1 ? (type == 1 ? 2 : 17) : 0;
    return is("nopower") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

/* ---- MIG ---- */

#ifndef WITHOUT_MIG
int nvmlDeviceGetMigMode(void *handle, unsigned int *current, unsigned int *pending)
{
    *current = *pending = is("mig");
    return is("nopower") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}
#endif

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned int *out) { return answer_number(handle, out, 7); }

/* The third place is empty, as after an instance was removed. */
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned int index, void **out)
{
    (void)handle;
    if (index == 2 || index > 3 || (split_anew() && index > 0)) return NOT_FOUND;
    *out = (void *)(size_t)(MIG + (index < 2 ? index : 2));
    return OK;
}

int nvmlDeviceGetAttributes_v2(void *handle, attributes_t *out)
{
    int large;
    if (!is_mig_device(handle)) return NOT_SUPPORTED;
    large = part_of(handle) == 0;
    memset(out, 0, sizeof *out);
    out->multiprocessors = large ? 42 : 14;
    out->gpu_slices = out->compute_slices = large ? 3 : 1;
    out->memory_mib = part_memory_mib(handle);
    return OK;
}

/* As on an A100: numbers of GPU instances are not those of places, and each holds one compute instance. */
int nvmlDeviceGetGpuInstanceId(void *handle, unsigned int *out)
{
    static const unsigned int NUMBERS[] = {1, 9, 10};
    if (!is_mig_device(handle)) return NOT_SUPPORTED;
    *out = NUMBERS[part_of(handle)];
    return OK;
}

int nvmlDeviceGetComputeInstanceId(void *handle, unsigned int *out)
{
    *out = 0;
    return is_mig_device(handle) ? OK : NOT_SUPPORTED;
}

/* ---- PCIe, NVLink, topology ---- */

int nvmlDeviceGetCurrPcieLinkGeneration(void *handle, unsigned int *out) { return answer_number(handle, out, is("8xh100") ? 5 : is("failing") ? 1 : 4); }
int nvmlDeviceGetGpuMaxPcieLinkGeneration(void *handle, unsigned int *out) { return answer_number(handle, out, is("8xh100") ? 5 : 4); }
int nvmlDeviceGetCurrPcieLinkWidth(void *handle, unsigned int *out) { return answer_number(handle, out, is("mig") ? 8 : 16); }
int nvmlDeviceGetMaxPcieLinkWidth(void *handle, unsigned int *out) { return answer_number(handle, out, 16); }

/* Of 4xa100, each GPU has four links to its neighbour and a fifth that is down. */
static unsigned int links(void) { return is("8xh100") ? 18 : is("4xa100") ? 5 : 0; }

int nvmlDeviceGetNvLinkState(void *handle, unsigned int link, unsigned int *active)
{
    if (links() == 0) return NOT_SUPPORTED;
    if (link >= links()) return INVALID_ARGUMENT;
    return answer_number(handle, active, !(is("4xa100") && link == 4));
}

int nvmlDeviceGetNvLinkVersion(void *handle, unsigned int link, unsigned int *version)
{
    (void)link;
    return answer_number(handle, version, is("8xh100") ? 6 : 4); /* 4.0 and 3.0 */
}

int nvmlDeviceGetNvLinkRemoteDeviceType(void *handle, unsigned int link, unsigned int *type)
{
    (void)link;
    return answer_number(handle, type, is("8xh100") ? 2 : 0);
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *handle, unsigned int link, pci_info_t *out)
{
    void *neighbour = (void *)(size_t)((index_of(handle) ^ 1u) + 1);
    (void)link;
    return nvmlDeviceGetPciInfo_v3(neighbour, out);
}

/* Version 2. Eight GPUs share a domain of several nodes (state 3: joined), a pair is alone, and a pair of different models is not done joining. */
int nvmlDeviceGetGpuFabricInfoV(void *handle, fabric_t *out)
{
    if (out->version != (sizeof *out | 2u << 24)) return INVALID_ARGUMENT;
    if (links() == 0 && !is("failing")) return NOT_SUPPORTED;
    memset(out->cluster, is("8xh100") || is("failing") ? 0xab : 0, sizeof out->cluster);
    out->status = OK;
    out->clique = 32766;
    out->state = is("failing") ? 2 : 3;
    return refuse_unless_answering(handle);
}

/* Pairs sit behind one switch (10), the halves of the machine on two sockets (50). */
int nvmlDeviceGetTopologyCommonAncestor(void *one, void *other, unsigned int *level)
{
    return answer_number(other, level, index_of(one) / 2 == index_of(other) / 2 ? 10 : 50);
}

/* ---- power, clocks, temperature, use ---- */

static int answer_milliwatts(void *handle, unsigned int *out, unsigned int milliwatts)
{
    *out = milliwatts;
    return is("nopower") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

int nvmlDeviceGetPowerManagementLimit(void *handle, unsigned int *out) { return answer_milliwatts(handle, out, 700000); }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned int *out) { return answer_milliwatts(handle, out, 700000); }
int nvmlDeviceGetPowerManagementDefaultLimit(void *handle, unsigned int *out) { return answer_milliwatts(handle, out, 700000); }

int nvmlDeviceGetPowerManagementLimitConstraints(void *handle, unsigned int *least, unsigned int *most)
{
    *least = 200000;
    return answer_milliwatts(handle, most, 700000);
}

/* A steady 350 W since the machine was started. */
enum { MILLIWATTS = 350000 };

int nvmlDeviceGetPowerUsage(void *handle, unsigned int *out) { return answer_milliwatts(handle, out, MILLIWATTS); }

static unsigned long long milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1000ULL * (unsigned long long)now.tv_sec + (unsigned long long)now.tv_nsec / 1000000;
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules)
{
    *millijoules = MILLIWATTS / 1000 * milliseconds();
    return is("nopower") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

int nvmlDeviceGetMaxClockInfo(void *handle, int type, unsigned int *mhz) { return answer_number(handle, mhz, type == 2 ? 2619 : 1980); }
int nvmlDeviceGetClockInfo(void *handle, int type, unsigned int *mhz) { return answer_number(handle, mhz, type == 2 ? 2619 : 1755); }

int nvmlDeviceGetUtilizationRates(void *handle, utilization_t *out)
{
    out->gpu = 87;
    out->memory = 40;
    return is("mig") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned int *celsius)
{
    (void)sensor;
    return answer_number(handle, celsius, 61);
}

/* The power cap (0x4) and, of the failing GPU, the hardware's thermal slowdown (0x48) too. */
int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *out)
{
    *out = is("failing") && index_of(handle) == 1 ? 0x4c : is("8xh100") && index_of(handle) == 0 ? 0x4 : 0;
    return refuse_unless_answering(handle);
}

/* ---- fields ---- */

enum { MEMORY_TEMPERATURE = 82, NVLINK_TX = 138, NVLINK_RX = 139, PCIE_TX = 197, PCIE_RX = 198, UNSIGNED_INT = 1, UNSIGNED_LONG_LONG = 3 };

int nvmlDeviceGetFieldValues(void *handle, int wanted, field_t *fields)
{
    int refusal = refuse_unless_answering(handle);
    for (int place = 0; place < wanted && !refusal; place++) {
        field_t *field = &fields[place];
        field->type = UNSIGNED_LONG_LONG;
        field->result = OK;
        switch (field->field) {
        case MEMORY_TEMPERATURE:
            field->type = UNSIGNED_INT;
            field->value.ui = 74;
            field->result = is("8xh100") || is("failing") ? OK : NOT_SUPPORTED;
            break;
        case NVLINK_TX:
        case NVLINK_RX: /* KiB over all links, which the greatest scope asks for: 1 GiB/s and half of it since the start */
            field->value.ull = milliseconds() * (field->field == NVLINK_TX ? 1048 : 524);
            field->result = links() == 0 ? NOT_SUPPORTED : field->scope == 0xffffffffu ? OK : INVALID_ARGUMENT;
            break;
        case PCIE_TX:
        case PCIE_RX: /* bytes; one GPU tells them in 32 bits, which wrap too often to be of use */
            field->type = is("mig") ? UNSIGNED_INT : UNSIGNED_LONG_LONG;
            field->value.ull = milliseconds() * 1000;
            field->result = is("nopower") ? NOT_SUPPORTED : OK;
            break;
        default:
            field->result = NOT_SUPPORTED;
        }
    }
    return refusal;
}

/* ---- events ---- */

static int registered[8];
static unsigned int told;
enum { XID_CRITICAL = 8 };
static const unsigned long long XIDS[] = {48, 63};

int nvmlEventSetCreate(void **set) { *set = registered; return OK; }
int nvmlEventSetFree(void *set) { (void)set; memset(registered, 0, sizeof registered); return OK; }

int nvmlDeviceRegisterEvents(void *handle, unsigned long long types, void *set)
{
    int refusal = refuse_unless_answering(handle);
    if (refusal) return refusal;
    if (set != registered || types != XID_CRITICAL) return INVALID_ARGUMENT;
    if (is("nopower")) return NOT_SUPPORTED;
    registered[index_of(handle)] = 1;
    return OK;
}

/* Two errors wait from the start; a registered GPU that is lost ends the wait. */
int nvmlEventSetWait_v2(void *set, event_t *out, unsigned int timeout_ms)
{
    void *second = (void *)(size_t)2;
    struct timespec rest = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    (void)set;
    if (registered[1] && refuse_unless_answering(second)) return GPU_IS_LOST;
    if (is("failing") && registered[1] && told < sizeof XIDS / sizeof *XIDS) {
        memset(out, 0, sizeof *out);
        out->device = second;
        out->type = XID_CRITICAL;
        out->data = XIDS[told++];
        out->gpu_instance = out->compute_instance = 0xffffffffu;
        return OK;
    }
    nanosleep(&rest, NULL);
    return TIMED_OUT;
}
#endif
