/* A stand-in for libhlml.so, spoken to by the real pyhlml.
 *
 * Its answers are assumed, not recorded: names, signatures, layouts and units are those that pyhlml 1.9 calls by and Intel's reference
 * of its Python API documents. It tests how answers and refusals are handled, not hardware. FAKE_HLML picks the scenario:
 *   2xgaudi3    two devices; the second is lost for every question from the moment the file that FAKE_HLML_LOST names exists
 *   hot         one device that heat and its power limit slow down, with uncorrected errors; it does not tell its energy
 *   nodriver    the library is there, the kernel module is not
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, AIP_IS_LOST = 15 };

typedef struct { unsigned int aip; } utilization_t;
typedef struct { unsigned long long free, total, used; } memory_t;
typedef struct {
    unsigned int bus;
    char bus_id[15];
    unsigned int device, domain, pci_device_id;
    char link_speed[10], link_width[10];
} pci_info_t;

static int is(const char *scenario)
{
    const char *wanted = getenv("FAKE_HLML");
    return wanted != NULL && strcmp(wanted, scenario) == 0;
}

static unsigned int count(void) { return is("2xgaudi3") ? 2 : is("hot") ? 1 : 0; }

/* A handle is the device's index plus one, so that none is NULL. */
static unsigned int index_of(void *handle) { return (unsigned int)(size_t)handle - 1; }

static int refuse_unless_answering(void *handle)
{
    const char *sign = getenv("FAKE_HLML_LOST");
    return index_of(handle) == 1 && sign != NULL && access(sign, F_OK) == 0 ? AIP_IS_LOST : OK;
}

static int answer_number(void *handle, unsigned int *out, unsigned int number)
{
    *out = number;
    return refuse_unless_answering(handle);
}

static int answer_text(void *handle, char *out, unsigned int size, const char *text)
{
    snprintf(out, size, "%s", text);
    return refuse_unless_answering(handle);
}

int hlml_init(void) { return is("nodriver") ? DRIVER_NOT_LOADED : OK; }
int hlml_shutdown(void) { return OK; }
int hlml_device_get_count(unsigned int *out) { *out = count(); return OK; }

int hlml_device_get_handle_by_index(unsigned int index, void **out)
{
    if (index >= count()) return INVALID_ARGUMENT;
    *out = (void *)(size_t)(index + 1);
    return OK;
}

int hlml_device_get_name(void *handle, char *out, unsigned int size) { return answer_text(handle, out, size, is("hot") ? "HL-225" : "HL-325L"); }
int hlml_device_get_serial(void *handle, char *out, unsigned int size) { return answer_text(handle, out, size, "AM50033386"); }
int hlml_get_driver_version(char *out, unsigned int size) { snprintf(out, size, "1.24.1-b336d5e"); return OK; }

int hlml_device_get_uuid(void *handle, char *out, unsigned int size)
{
    char text[48];
    snprintf(text, sizeof text, "01P4-HL3090A0-18-UAN071-12-03-%02u", index_of(handle));
    return answer_text(handle, out, size, text);
}

int hlml_device_get_pci_info(void *handle, pci_info_t *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->bus_id, sizeof out->bus_id, "0000:%02x:00.0", 0x33 + index_of(handle));
    return refuse_unless_answering(handle);
}

int hlml_device_get_utilization_rates(void *handle, utilization_t *out) { return answer_number(handle, &out->aip, 73 + index_of(handle)); }

int hlml_device_get_memory_info(void *handle, memory_t *out)
{
    out->total = 137438953472ULL;
    out->used = 704643072ULL;
    out->free = out->total - out->used;
    return refuse_unless_answering(handle);
}

int hlml_device_get_power_usage(void *handle, unsigned int *milliwatts) { return answer_number(handle, milliwatts, 421500); }
int hlml_device_get_power_management_default_limit(void *handle, unsigned int *milliwatts) { return answer_number(handle, milliwatts, 850000); }

int hlml_device_get_total_energy_consumption(void *handle, unsigned long long *millijoules)
{
    *millijoules = 123456789ULL;
    return is("hot") ? NOT_SUPPORTED : refuse_unless_answering(handle);
}

/* Sensor 0 is on the chip. */
int hlml_device_get_temperature(void *handle, int sensor, unsigned int *celsius) { return answer_number(handle, celsius, sensor == 0 ? 64 : 41); }
/* Clock 0 is that of the chip. */
int hlml_device_get_clock_info(void *handle, int type, unsigned int *mhz) { return type == 0 ? answer_number(handle, mhz, 1600) : NOT_SUPPORTED; }

int hlml_device_get_current_clocks_throttle_reasons(void *handle, unsigned long long *out)
{
    *out = is("hot") ? 0x3 : 0;
    return refuse_unless_answering(handle);
}

/* Uncorrected errors are type 1, volatile counts 0. */
int hlml_device_get_total_ecc_errors(void *handle, int type, int counter, unsigned long long *out)
{
    *out = is("hot") ? 5 : 0;
    return type == 1 && counter == 0 ? refuse_unless_answering(handle) : NOT_SUPPORTED;
}
