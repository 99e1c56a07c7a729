/* A stand-in for libnvidia-ml.so.1, spoken to by the real pynvml.
 *
 * It tests how answers and refusals of NVML are handled, not hardware. FAKE_NVML picks the scenario:
 *   8xh100      eight healthy GPUs
 *   lost        two GPUs, the second of which fell off the bus
 *   nopower     one T4 that does not answer for its power, its energy, its power limit, its ECC mode or MIG
 *   nodriver    the library is there, the kernel module is not
 *   nodevices   driver loaded, no GPU
 * Signatures and struct layouts follow NVIDIA's public API reference for NVML.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct {
    char bus_id_legacy[16];
    unsigned int domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} pci_info_t;

static int is(const char *scenario)
{
    const char *wanted = getenv("FAKE_NVML");
    return wanted != NULL && strcmp(wanted, scenario) == 0;
}

static unsigned int count(void)
{
    return is("8xh100") ? 8 : is("lost") ? 2 : is("nopower") ? 1 : 0;
}

/* A handle is the device's index plus one, so that none is NULL. */
static unsigned int index_of(void *handle) { return (unsigned int)(size_t)handle - 1; }

static int refuse_unless_answering(void *handle)
{
    return is("lost") && index_of(handle) == 1 ? GPU_IS_LOST : OK;
}

static int write_text(char *out, unsigned int size, const char *text)
{
    return snprintf(out, size, "%s", text) < (int)size ? OK : INVALID_ARGUMENT;
}

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return is("nodriver") ? DRIVER_NOT_LOADED : OK; }
int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code)
{
    switch (code) {
    case NOT_SUPPORTED: return "Not Supported";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *out, unsigned int size) { return write_text(out, size, "580.95.05"); }
int nvmlDeviceGetCount_v2(unsigned int *out) { *out = count(); return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **out)
{
    if (index >= count()) return INVALID_ARGUMENT;
    *out = (void *)(size_t)(index + 1);
    return OK;
}

int nvmlDeviceGetName(void *handle, char *out, unsigned int size)
{
    int refusal = refuse_unless_answering(handle);
    return refusal ? refusal : write_text(out, size, is("nopower") ? "Tesla T4" : "NVIDIA H100 80GB HBM3");
}

int nvmlDeviceGetUUID(void *handle, char *out, unsigned int size)
{
    char text[64];
    int refusal = refuse_unless_answering(handle);
    snprintf(text, sizeof text, "GPU-00000000-0000-0000-0000-%012u", index_of(handle));
    return refusal ? refusal : write_text(out, size, text);
}

int nvmlDeviceGetMemoryInfo(void *handle, memory_t *out)
{
    out->total = is("nopower") ? 16106127360ULL : 85520809984ULL;
    out->used = 0;
    out->free = out->total;
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
    *major = is("nopower") ? 7 : 9;
    *minor = is("nopower") ? 5 : 0;
    return refuse_unless_answering(handle);
}

int nvmlDeviceGetPowerManagementLimit(void *handle, unsigned int *milliwatts)
{
    *milliwatts = 700000;
    return is("nopower") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

int nvmlDeviceGetMaxClockInfo(void *handle, int type, unsigned int *mhz)
{
    (void)type;
    *mhz = 1980;
    return refuse_unless_answering(handle);
}

int nvmlDeviceGetEccMode(void *handle, unsigned int *current, unsigned int *pending)
{
    *current = *pending = 1;
    return is("nopower") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

/* A steady 350 W since the machine was started. */
enum { MILLIWATTS = 350000 };

int nvmlDeviceGetPowerUsage(void *handle, unsigned int *milliwatts)
{
    *milliwatts = MILLIWATTS;
    return is("nopower") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *millijoules = MILLIWATTS * (unsigned long long)now.tv_sec + MILLIWATTS / 1000 * ((unsigned long long)now.tv_nsec / 1000000);
    return is("nopower") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

typedef struct { unsigned int gpu, memory; } utilization_t;

int nvmlDeviceGetUtilizationRates(void *handle, utilization_t *out)
{
    out->gpu = 87;
    out->memory = 40;
    return refuse_unless_answering(handle);
}

int nvmlDeviceGetClockInfo(void *handle, int type, unsigned int *mhz)
{
    *mhz = type == 2 ? 2619 : 1755; /* memory, anything else */
    return refuse_unless_answering(handle);
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned int *celsius)
{
    (void)sensor;
    *celsius = 61;
    return refuse_unless_answering(handle);
}

/* nvmlDeviceGetMigMode is left out on purpose: an older library lacks functions that a newer pynvml asks for. */
